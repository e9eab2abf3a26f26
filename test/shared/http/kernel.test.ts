/** Where a kernel may be, in every spelling that leads somewhere else than it seems to. */
import { describe, expect, test } from "bun:test";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { addressFault, hostFault, KERNEL_CIDRS, kernelHost } from "../../../shared/http/kernel.ts";

const byDefault = addressMatcher(KERNEL_CIDRS);
const anywhere = () => true;

describe("by default", () => {
  test.each([
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.3.4",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.9.10",
    "::1",
    "[::1]",
    "fd12:3456::7",
    "::ffff:10.0.0.7",
    "::ffff:a00:7",
    "64:ff9b::10.0.0.7",
    "64:ff9b:1::10.0.0.7",
    "::ffff:0:10.0.0.7",
    "::10.0.0.7",
    "fd00::5efe:10.0.0.7",
    // Spellings of 10.0.0.7 and of 127.0.0.1 that the system's resolver takes too.
    "0xa.0.0.7",
    "012.0.0.7",
    "167772167",
    "2130706433",
    "0x7f000001",
    "127.1",
  ])("%s is a kernel's", (host) => {
    expect(hostFault(host, byDefault)).toBeNull();
  });

  test.each([
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "11.0.0.1",
    "128.0.0.1",
    "2001:db8::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    // Anybody may have these under a prefix of their own.
    "2002:a00:7::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "2001:0:4136:e378:8000:63bf:f5ff:fff8",
    "64:ff9b:1::8.8.8.8",
    "134744072",
  ])("%s is outside of kernel_host_cidrs", (host) => {
    expect(hostFault(host, byDefault)).toBe("wanted an address in kernel_host_cidrs");
  });
});

describe("whatever kernel_host_cidrs says", () => {
  test.each([
    "0.0.0.0",
    "0",
    "0x0",
    "0.1.2.3",
    "::",
    "[::]",
    "::ffff:0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.1.2.3",
    "ff02::1",
    "169.254.169.254",
    "169.254.1.1",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.43518",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "64:ff9b:1::a9fe:a9fe",
    "::ffff:0:a9fe:a9fe",
    "2001:0:4136:e378:8000:63bf:5601:5601",
    "fd00::5efe:a9fe:a9fe",
    "fd00::200:5efe:a9fe:a9fe",
    "100.100.100.200",
    "::ffff:100.100.100.200",
    "64:ff9b::6464:64c8",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:0ec2:0:0:0:0:0:0254",
    "fd20:ce::254",
  ])("%s is no kernel's", (host) => {
    expect(hostFault(host, anywhere)).toBe("wanted an address that a kernel can have");
  });

  test.each(["", "a b", "u:p@h", "127.0.0.1:80", "127.0.0.1/x", "[::1", "host%41", "-x", "a\nb", "é"])(
    "%p is no host",
    (host) => {
      expect(hostFault(host, anywhere)).toBe("wanted a host name or an IP address");
    },
  );
});

test("a name is judged by what it leads to, address by address", () => {
  expect(hostFault("kernel-1.example", byDefault)).toBeNull();
  expect([addressFault("10.0.0.7", byDefault), addressFault("169.254.0.9", byDefault)]).toEqual([
    null,
    "wanted an address that a kernel can have",
  ]);
});

test("two spellings are one kernel", () => {
  expect(["[::1]", "::FFFF:10.0.0.7", "012.0.0.7", "Kernel-1"].map(kernelHost)).toEqual([
    "::1",
    "10.0.0.7",
    "10.0.0.7",
    "kernel-1",
  ]);
});
