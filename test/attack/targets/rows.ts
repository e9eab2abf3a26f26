/** Spellings and names of addresses: what the API says of each as a kernel's, and what comes of dialling it. */
import type { Zone } from "./dns.ts";

/** `refused` is 502 with its own words, `unknown` the answer for an app that is not there (yet). */
export interface TargetRow {
  name: string;
  host: string;
  /** Whose port it is; without it the port of an app that listens on every address. */
  port?: "coordinator" | "worker" | "circuit" | "redis";
  /** What the coordinator answers; 400 names the field. */
  api: 200 | 400;
  /** The same where `kernel_host_cidrs` has all addresses: what no kernel can have stays out. */
  wide: 200 | 400;
  /** The address that is connected to, or what comes instead; null where no circuit can have the host. */
  dial: { at: string } | "refused" | "unknown" | null;
}

export const ENGINES = ["serve", "sockets"] as const;
export type Engine = (typeof ENGINES)[number];
export const WAYS = ["http", "websocket", "tcp"] as const;
export type Way = (typeof WAYS)[number];

const METADATA = "169.254.169.254";

export const ZONE: Zone = {
  "good.test": [{ addresses: ["127.0.0.1"] }],
  "good6.test": [{ addresses: ["::1"] }],
  "metadata.test": [{ addresses: [METADATA] }],
  "metadata6.test": [{ addresses: ["fd00:ec2::254"] }],
  "alibaba.test": [{ addresses: ["100.100.100.200"] }],
  "any.test": [{ addresses: ["0.0.0.0"] }],
  "any6.test": [{ addresses: ["::"] }],
  "public.test": [{ addresses: ["8.8.8.8"] }],
  "broadcast.test": [{ addresses: ["255.255.255.255"] }],
  "nat64.test": [{ addresses: ["64:ff9b::a9fe:a9fe"] }],
  "6to4.test": [{ addresses: ["2002:a9fe:a9fe::1"] }],
  "local6.test": [{ addresses: ["fe80::1"] }],
  "chain.test": [{ cname: "chain1.test" }],
  "chain1.test": [{ cname: "chain2.test" }],
  "chain2.test": [{ cname: "metadata.test" }],
  "goodchain.test": [{ cname: "goodchain1.test" }],
  "goodchain1.test": [{ cname: "good.test" }],
  "mixed.test": [{ addresses: [METADATA, "127.0.0.1", "8.8.8.8"] }],
  "mixed6.test": [{ addresses: ["fd00:ec2::254", "127.0.0.1"] }],
  "allbad.test": [{ addresses: [METADATA, "8.8.8.8", "100.100.100.200", "::", "fe80::1"] }],
  "nothing.test": [{ addresses: [] }],
  [`${METADATA}.test`]: [{ addresses: ["127.0.0.1"] }],
  // The platform's check sees the first, the worker all that come later.
  "turn.test": [{ addresses: ["127.0.0.1"] }, { addresses: [METADATA] }],
  ...Object.fromEntries(
    WAYS.flatMap((way) =>
      ENGINES.flatMap((engine): [string, Zone[string]][] => [
        [turning("bad", engine, way), [{ addresses: ["127.0.0.1"] }, { addresses: [METADATA] }]],
        [turning("good", engine, way), [{ addresses: [METADATA] }, { addresses: ["127.0.0.1"] }]],
      ]),
    ),
  ),
};

/** A name that has one answer for the first question, and another one from then on. */
export function turning(to: "bad" | "good", engine: Engine, way: Way): string {
  return `turns-${to}-${engine}-${way}.test`;
}

const GOOD: [name: string, host: string, at: string][] = [
  ["loopback", "127.0.0.1", "127.0.0.1"],
  ["another address of loopback", "127.3.2.1", "127.3.2.1"],
  ["loopback in short", "127.1", "127.0.0.1"],
  ["loopback in hexadecimal", "0x7f.1", "127.0.0.1"],
  ["loopback as one number", "2130706433", "127.0.0.1"],
  ["loopback in octal", "0177.0.0.1", "127.0.0.1"],
  ["IPv6's loopback", "::1", "::1"],
  ["IPv6's loopback in brackets", "[::1]", "::1"],
  ["IPv6's loopback in full", "0:0:0:0:0:0:0:1", "::1"],
  ["loopback as IPv6", "::ffff:127.0.0.1", "127.0.0.1"],
  ["a private address", "10.1.2.3", "10.1.2.3"],
  ["a private address as IPv6, in hexadecimal and capitals", "::FFFF:A01:203", "10.1.2.3"],
  ["a unique local address", "fd12:3456::1", "fd12:3456::1"],
  ["a shared address beside Alibaba's", "100.100.100.201", "100.100.100.201"],
  ["localhost", "localhost", "127.0.0.1"],
  ["localhost in capitals", "LOCALHOST", "127.0.0.1"],
  ["a name", "good.test", "127.0.0.1"],
  ["a name in capitals", "GOOD.Test", "127.0.0.1"],
  ["a name of IPv6", "good6.test", "::1"],
  ["a name behind others", "goodchain.test", "127.0.0.1"],
  ["a name that begins as an address", `${METADATA}.test`, "127.0.0.1"],
  ["a name of good and bad addresses", "mixed.test", "127.0.0.1"],
  ["a name of good and bad addresses of both families", "mixed6.test", "127.0.0.1"],
];

const BAD: [name: string, host: string][] = [
  ["a cloud's metadata", METADATA],
  ["metadata as one number", "2852039166"],
  ["metadata as one number in hexadecimal", "0xa9fea9fe"],
  ["metadata as one number in octal", "025177524776"],
  ["metadata in hexadecimal", "0xa9.0xfe.0xa9.0xfe"],
  ["metadata in hexadecimal, in capitals", "0XA9.0XFE.0XA9.0XFE"],
  ["metadata in octal", "0251.0376.0251.0376"],
  ["metadata in three ways", "0xa9.0376.43518"],
  ["metadata in two parts", "169.16689662"],
  ["metadata in three parts", "169.254.43518"],
  ["metadata as IPv6", `::ffff:${METADATA}`],
  ["metadata as IPv6 in hexadecimal", "::ffff:a9fe:a9fe"],
  ["metadata as IPv6 in full", "0:0:0:0:0:ffff:a9fe:a9fe"],
  ["metadata as IPv6 in brackets", `[::ffff:${METADATA}]`],
  ["metadata as IPv4-compatible", `::${METADATA}`],
  ["metadata by NAT64", "64:ff9b::a9fe:a9fe"],
  ["metadata by NAT64, dotted", `64:ff9b::${METADATA}`],
  ["metadata by a network's own NAT64", `64:ff9b:1::${METADATA}`],
  ["metadata by SIIT", `::ffff:0:${METADATA}`],
  ["metadata by 6to4", "2002:a9fe:a9fe::1"],
  ["metadata by Teredo", "2001:0:7f00:1:0:0:5601:5601"],
  ["metadata by ISATAP in a private network", `fd00::5efe:${METADATA}`],
  ["metadata by ISATAP, universal", `fd00::200:5efe:${METADATA}`],
  ["metadata of AWS over IPv6", "fd00:ec2::254"],
  ["metadata of AWS over IPv6, in capitals and full", "FD00:0EC2:0:0:0:0:0:0254"],
  ["metadata of Google over IPv6", "fd20:ce::254"],
  ["metadata of Alibaba", "100.100.100.200"],
  ["metadata of Alibaba as one number", "1684301000"],
  ["metadata of Alibaba as IPv6", "::ffff:100.100.100.200"],
  ["metadata of Oracle", "192.0.0.192"],
  ["metadata of Azure", "168.63.129.16"],
  ["another link-local address", "169.254.0.1"],
  ["any address", "0.0.0.0"],
  ["any address as one number", "0"],
  ["any address in hexadecimal", "0x0"],
  ["any address in octal", "00.0.0.0"],
  ["another address of 0/8", "0.1.2.3"],
  ["IPv6's any address", "::"],
  ["IPv6's any address in brackets", "[::]"],
  ["IPv6's any address in full", "0:0:0:0:0:0:0:0"],
  ["any address as IPv6", "::ffff:0.0.0.0"],
  ["any address by NAT64", "64:ff9b::"],
  ["broadcast", "255.255.255.255"],
  ["broadcast as one number", "4294967295"],
  ["multicast", "224.0.0.1"],
  ["the last multicast address", "239.255.255.255"],
  ["IPv6's multicast", "ff02::1"],
  ["a link-local address of IPv6", "fe80::1"],
  ["a link-local address of IPv6 with its zone", "fe80::1%lo"],
  ["a public address", "8.8.8.8"],
  ["a public address as one number", "134744072"],
  ["a public address of IPv6", "2001:4860:4860::8888"],
  ["a public address by NAT64", "64:ff9b::8.8.8.8"],
  ["an address of documentation", "203.0.113.9"],
  ["a reserved address", "240.0.0.1"],
  ["a name of metadata", "metadata.test"],
  ["a name of metadata in capitals", "METADATA.TEST"],
  ["a name of metadata over IPv6", "metadata6.test"],
  ["a name of Alibaba's metadata", "alibaba.test"],
  ["a name of any address", "any.test"],
  ["a name of IPv6's any address", "any6.test"],
  ["a name of a public address", "public.test"],
  ["a name of broadcast", "broadcast.test"],
  ["a name of metadata by NAT64", "nat64.test"],
  ["a name of metadata by 6to4", "6to4.test"],
  ["a name of a link-local address", "local6.test"],
  ["a name that leads to metadata over others", "chain.test"],
  ["a name of bad addresses alone", "allbad.test"],
];

/** Kept out by `kernel_host_cidrs` alone. */
const PUBLIC = /public|documentation|reserved|bad addresses alone/;

/** What is neither a name nor an address. No circuit gets it. */
const NO_HOSTS: [name: string, host: string][] = [
  ["userinfo", `127.0.0.1@${METADATA}`],
  ["userinfo with a name", "user:secret@good.test"],
  ["a port", "127.0.0.1:80"],
  ["a path", "good.test/a"],
  ["a URL", `http://${METADATA}/`],
  ["a fragment", "good.test#a"],
  ["a query", "good.test?a"],
  ["a backslash", "good.test\\a"],
  ["percent-encoding", "%31%36%39.254.169.254"],
  ["an encoded dot", "169%2e254.169.254"],
  ["fullwidth digits", "１６９.２５４.１６９.２５４"],
  ["fullwidth dots", "169．254．169．254"],
  ["ideographic dots", "169。254。169。254"],
  ["circled digits", "①⑥⑨.②⑤④.①⑥⑨.②⑤④"],
  ["letters that fold to others", "ｍｅｔａｄａｔａ.test"],
  ["a soft hyphen", "meta\u00addata.test"],
  ["a zero-width space", "good\u200b.test"],
  ["a space behind it", "127.0.0.1 "],
  ["a space before it", " 127.0.0.1"],
  ["two of them", `127.0.0.1 ${METADATA}`],
  ["a list", `127.0.0.1,${METADATA}`],
  ["a line's end", "127.0.0.1\r\nX-A: 1"],
  ["a NUL", `127.0.0.1\0.${METADATA}`],
  ["a bracket alone", "[::1"],
  ["the other bracket alone", "::1]"],
  ["brackets in brackets", "[[::1]]"],
  ["a network", "127.0.0.0/8"],
  ["a star", "*"],
  ["nothing", ""],
  ["dots alone", ".."],
  ["the root's dot behind a name", "metadata.test."],
  ["the root's dot behind an address", `${METADATA}.`],
];

/** By whatever address of this machine. */
const OWN_HOSTS = ["127.0.0.1", "127.9.8.7", "::1", "[::1]", "::ffff:127.0.0.1", "localhost", "127.1", "0x7f000001", "good.test", "good6.test", "::127.0.0.1", "64:ff9b::127.0.0.1"]; // prettier-ignore
const OWN_PORTS = ["coordinator", "worker", "circuit", "redis"] as const;

export const ROWS: TargetRow[] = [
  ...GOOD.map(([name, host, at]): TargetRow => ({
    name,
    host,
    api: 200,
    wide: 200,
    dial: isBracketed(host) ? null : { at },
  })),
  ...BAD.map(([name, host]): TargetRow => ({
    name,
    host,
    api: 400,
    wide: PUBLIC.test(name) ? 200 : 400,
    dial: isBracketed(host) ? null : "refused",
  })),
  ...NO_HOSTS.map(([name, host]): TargetRow => ({ name, host, api: 400, wide: 400, dial: null })),
  ...OWN_PORTS.flatMap((port) =>
    OWN_HOSTS.map((host): TargetRow => ({
      name: `the port of ${port}`,
      host,
      port,
      api: 400,
      wide: 400,
      dial: ownDial(host, port),
    })),
  ),
  {
    name: "a name that nobody knows here, but perhaps a worker",
    host: "unknown.test",
    api: 200,
    wide: 200,
    dial: "unknown",
  },
  { name: "a name without an address", host: "nothing.test", api: 200, wide: 200, dial: "unknown" },
];

// --- internal ---

/** The coordinator takes the brackets off: no worker sees any. */
function isBracketed(host: string): boolean {
  return host.startsWith("[");
}

/** The worker's circuits are listened for at one address, and nobody is at the others. */
function ownDial(host: string, port: (typeof OWN_PORTS)[number]): TargetRow["dial"] {
  if (isBracketed(host)) return null;
  return port === "circuit" && ["127.9.8.7", "::1", "good6.test"].includes(host) ? "unknown" : "refused";
}
