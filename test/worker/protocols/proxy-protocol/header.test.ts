/** The PROXY header: what the specification allows is read, wherever it is cut; nothing else is. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { MAX_BINARY, MAX_LINE, readProxyHeader } from "../../../../worker/protocols/proxy-protocol/header.ts";
import { binary, INET, INET6, LONG_TLV, UNIX } from "./headers.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

const GOOD: [what: string, header: Buffer, source: string | null][] = [
  ["v1, IPv4", latin1("PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"), "203.0.113.7"],
  ["v1, the longest IPv4", latin1("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255"],
  ["v1, zeroes", latin1("PROXY TCP4 10.0.0.0 0.0.0.0 0 0\r\n"), "10.0.0.0"],
  ["v1, IPv6", latin1("PROXY TCP6 2001:DB8:0:0::7 ::1 1 2\r\n"), "2001:db8::7"],
  ["v1, the longest IPv6", latin1(`PROXY TCP6 ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535\r\n`), "ffff:".repeat(7) + "ffff"], // prettier-ignore
  ["v1, IPv4 in IPv6, as HAProxy writes it", latin1("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 1 2\r\n"), "203.0.113.7"], // prettier-ignore
  ["v1, UNKNOWN", latin1("PROXY UNKNOWN\r\n"), null],
  ["v1, UNKNOWN with more, up to the limit", latin1(`PROXY UNKNOWN ${"\xff".repeat(MAX_LINE - 16)}\r\n`), null],
  ["v2, IPv4", binary({ block: INET }), "203.0.113.7"],
  ["v2, IPv6", binary({ family: 0x21, block: INET6 }), "2001:db8::7"],
  ["v2, IPv4 in IPv6", binary({ family: 0x21, block: Buffer.from("00000000000000000000ffffcb007107".padEnd(72, "0"), "hex") }), "203.0.113.7"], // prettier-ignore
  ["v2, TLVs behind the addresses", binary({ block: Buffer.concat([INET, LONG_TLV]) }), "203.0.113.7"],
  ["v2, as long as it may be", binary({ block: Buffer.concat([INET, Buffer.alloc(MAX_BINARY - 28)]) }), "203.0.113.7"],
  ["v2, LOCAL", binary({ command: 0x20, family: 0 }), null],
  ["v2, LOCAL with addresses", binary({ command: 0x20, block: INET }), null],
  ["v2, LOCAL of a family that is not known", binary({ command: 0x20, family: 0xff, block: LONG_TLV }), null],
  ["v2, AF_UNSPEC", binary({ family: 0, block: LONG_TLV }), null],
  ["v2, AF_UNIX", binary({ family: 0x31, block: UNIX }), null],
  ["v2, IPv4 of no transport", binary({ family: 0x10, block: INET }), null],
  ["v2, datagrams", binary({ family: 0x12, block: INET }), null],
];

describe.each(GOOD)("%s", (_what, header, source) => {
  const read = { kind: "header", source, length: header.length } as const;

  test("is read, whatever follows it", () => {
    for (const rest of ["", "\r\n", "PROXY ", "GET / HTTP/1.1\r\n\r\n"])
      expect(readProxyHeader(Buffer.concat([header, latin1(rest)]))).toEqual(read);
  });

  test("needs more wherever it is cut", () => {
    const kinds = new Set<string>();
    for (let at = 0; at < header.length; at++) kinds.add(readProxyHeader(header.subarray(0, at)).kind);
    expect([...kinds]).toEqual(["incomplete"]);
  });
});

const V1 = "its line is not as version 1 has it";
const NO_END = `its line has no end within ${MAX_LINE} bytes`;
const NO_CRLF = "its line does not end with CRLF";
const NEITHER = "it begins as neither version does";

test.each<[what: string, bytes: Buffer, reason: string]>([
  ["an HTTP request", latin1("G"), NEITHER],
  ["a ClientHello", Buffer.from([22, 3, 1]), NEITHER],
  ["small letters", latin1("proxy"), NEITHER],
  ["a tab for a space", latin1("PROXY\t"), NEITHER],
  ["another signature", Buffer.from("0d0a0d0a000d0a515549540d", "hex"), NEITHER],
  ["an empty line before it", latin1("\r\nPROXY UNKNOWN\r\n"), NEITHER],
  ["no protocol", latin1("PROXY \r\n"), V1],
  ["another protocol", latin1("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"), V1],
  ["more behind UNKNOWN without a space", latin1("PROXY UNKNOWNS\r\n"), V1],
  ["two spaces", latin1("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"), V1],
  ["a space behind it", latin1("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), V1],
  ["no ports", latin1("PROXY TCP4 1.2.3.4 1.2.3.4\r\n"), V1],
  ["one port", latin1("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), V1],
  ["a port that is too high", latin1("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"), V1],
  ["a port with a heading zero", latin1("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"), V1],
  ["a port below zero", latin1("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"), V1],
  ["an octal number", latin1("PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n"), V1],
  ["three parts", latin1("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), V1],
  ["five parts", latin1("PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n"), V1],
  ["a dot at the end", latin1("PROXY TCP4 1.2.3.4. 1.2.3.4 1 2\r\n"), V1],
  ["a part that is too high", latin1("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n"), V1],
  ["a destination that is none", latin1("PROXY TCP4 1.2.3.4 here 1 2\r\n"), V1],
  ["IPv6 for IPv4", latin1("PROXY TCP4 ::1 ::1 1 2\r\n"), V1],
  ["IPv4 for IPv6", latin1("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), V1],
  ["a zone", latin1("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"), V1],
  ["two gaps", latin1("PROXY TCP6 1::2::3 ::1 1 2\r\n"), V1],
  ["LF alone", latin1("PROXY UNKNOWN\n"), NO_CRLF],
  ["CR alone", latin1("PROXY UNKNOWN\rX"), NO_CRLF],
  ["a line without an end", latin1(`PROXY UNKNOWN ${"x".repeat(MAX_LINE - 14)}`), NO_END],
  ["a line that ends one byte too late", latin1(`PROXY UNKNOWN ${"x".repeat(MAX_LINE - 15)}\r\n`), NO_END],
  ["version 1 in binary", binary({ command: 0x11, block: INET }), "its version is not known"],
  ["version 3", binary({ command: 0x31, block: INET }), "its version is not known"],
  ["another command", binary({ command: 0x22, block: INET }), "its command is not known"],
  ["another family", binary({ family: 0x41, block: UNIX }), "its family or transport is not known"],
  ["another transport", binary({ family: 0x13, block: INET }), "its family or transport is not known"],
  ["no room for IPv4", binary({ block: INET.subarray(1) }), "it is too short for its addresses"],
  ["no room for IPv6", binary({ family: 0x21, block: INET6.subarray(1) }), "it is too short for its addresses"],
  ["no room for paths", binary({ family: 0x31, block: UNIX.subarray(1) }), "it is too short for its addresses"],
  ["one that is too long, at once", binary({ block: Buffer.alloc(MAX_BINARY - 15) }).subarray(0, 16), `it is longer than ${MAX_BINARY} bytes`],
])("%s is refused", (_what, bytes, reason) => {
  expect(readProxyHeader(bytes)).toEqual({ kind: "fault", reason });
}); // prettier-ignore

test("any address is read back, in both versions", () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.ipV6(), fc.nat(65_535), (four, six, port) => {
      const line = (protocol: string, address: string) => readProxyHeader(latin1(`PROXY ${protocol} ${address} ${address} ${port} ${port}\r\n`)); // prettier-ignore
      expect(line("TCP4", four)).toMatchObject({ kind: "header", source: four });
      expect(line("TCP6", six).kind).toBe("header");
      const bytes = Buffer.from(four.split(".").map(Number));
      expect(readProxyHeader(binary({ block: Buffer.concat([bytes, Buffer.alloc(8)]) }))).toMatchObject({ source: four }); // prettier-ignore
    }),
  );
});

test("no bytes make it throw, take more than there are, or wait beyond its limit", () => {
  const begins = fc.constantFrom("", "PROXY ", "PROXY TCP4 ", "PROXY TCP6 ", "\r\n\r\n\0\r\nQUIT\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0");
  fc.assert(
    fc.property(begins, fc.uint8Array({ maxLength: 300 }), (begin, noise) => {
      const bytes = Buffer.concat([latin1(begin), noise]);
      const reading = readProxyHeader(bytes);
      if (reading.kind === "header") expect(reading.length).toBeLessThanOrEqual(bytes.length);
      if (reading.kind === "incomplete" && bytes[0] === 80) expect(bytes.length).toBeLessThan(MAX_LINE);
      // What is decided stays so, whatever comes later.
      if (reading.kind !== "incomplete") expect(readProxyHeader(Buffer.concat([bytes, noise]))).toEqual(reading);
    }),
    { numRuns: 2000 },
  );
}); // prettier-ignore
