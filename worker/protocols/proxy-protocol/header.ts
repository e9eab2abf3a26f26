/**
 * The PROXY header, with which a proxy in front tells whose connection it passes on: versions 1 (text) and 2 (binary), as
 * https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt has them. Pure: bytes in, what they say out. What it tells
 * beside the source (destination, ports, TLVs) is passed over.
 */
import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { canonicalAddress } from "../../../shared/http/addresses.ts";

/** What the first bytes of a connection are. */
export type Reading =
  | { kind: "incomplete" }
  /** `length`: so many bytes are the header. `source`: null where the connection's own address counts. */
  | { kind: "header"; source: string | null; length: number }
  /** `reason`: what is wrong with it, without any of its bytes. */
  | { kind: "fault"; reason: string };

/** PROXY protocol §2.1: the longest line, with its CRLF. */
export const MAX_LINE = 107;

/**
 * PROXY protocol §2.2 lets a header of version 2 have 65,551 bytes. With a client's certificate in its TLVs it has 2 to 4 KB:
 * more than this is nobody's.
 */
export const MAX_BINARY = 16 * 1024;

/** Reads the header at the begin of `bytes`, of which a part may have come; what is no header is a fault as soon as it shows. */
export function readProxyHeader(bytes: Buffer): Reading {
  if (beginsAs(SIGNATURE, bytes)) return bytes.length < FIXED ? INCOMPLETE : readBinary(bytes);
  if (beginsAs(PREFIX, bytes)) return readLine(bytes);
  return fault("it begins as neither version does");
}

// --- internal ---

const INCOMPLETE: Reading = { kind: "incomplete" };

/** PROXY protocol §2.1. */
const PREFIX = Buffer.from("PROXY ", "latin1");
/** PROXY protocol §2.2. */
const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
/** PROXY protocol §2.2: signature, version and command, family and transport, length of the rest. */
const FIXED = 16;
const [CR, LF] = [13, 10];

const VERSION_2 = 2;
const COMMAND = { local: 0, proxy: 1 } as const;
const STREAM = 1;
/** PROXY protocol §2.2: transports are unspecified, stream, datagram. */
const LAST_TRANSPORT = 2;

/** PROXY protocol §2.2: bytes of a source address, and of all that is told of both ends, by family. */
const FAMILIES: Readonly<Record<number, { address: number; block: number }>> = {
  0: { address: 0, block: 0 }, // AF_UNSPEC
  1: { address: 4, block: 12 }, // AF_INET
  2: { address: 16, block: 36 }, // AF_INET6
  3: { address: 0, block: 216 }, // AF_UNIX: a path, which is no address here
};

/** PROXY protocol §2.1: heading zeroes are not permitted. */
const NUMBER = /^(?:0|[1-9]\d{0,4})$/;

function fault(reason: string): Reading {
  return { kind: "fault", reason };
}

/** Whether bytes begin as a mark does, as far as they have come. */
function beginsAs(mark: Buffer, bytes: Buffer): boolean {
  const length = Math.min(mark.length, bytes.length);
  return mark.compare(bytes, 0, length, 0, length) === 0;
}

/** PROXY protocol §2.1: the line is looked at when it is whole; CR or LF alone does not end it. */
function readLine(bytes: Buffer): Reading {
  const line = bytes.subarray(0, MAX_LINE);
  const end = line.findIndex((byte) => byte === CR || byte === LF);
  if (end === -1 || (line[end] === CR && end + 1 === line.length))
    return line.length < MAX_LINE ? INCOMPLETE : fault(`its line has no end within ${MAX_LINE} bytes`);
  if (line[end] === LF || line[end + 1] !== LF) return fault("its line does not end with CRLF");
  const source = sourceOf(line.toString("latin1", PREFIX.length, end));
  return source === undefined
    ? fault("its line is not as version 1 has it")
    : { kind: "header", source, length: end + 2 };
}

/** PROXY protocol §2.1: null for UNKNOWN, of which the rest says nothing; undefined for what is no such line. */
function sourceOf(line: string): string | null | undefined {
  const [protocol, source = "", destination = "", ...ports] = line.split(" ");
  if (protocol === "UNKNOWN") return null;
  const isAddress = protocol === "TCP4" ? isIPv4 : protocol === "TCP6" ? isPlainIPv6 : null;
  if (isAddress === null || !isAddress(source) || !isAddress(destination)) return undefined;
  return ports.length === 2 && ports.every((port) => isNumber(port, 65_535)) ? canonicalAddress(source) : undefined;
}

function isIPv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => isNumber(part, 255));
}

/** An address of one host's own has a zone behind it (RFC 4007 §11), which means nothing to another host. */
function isPlainIPv6(text: string): boolean {
  return !text.includes("%") && isIPv6(text);
}

function isNumber(text: string, last: number): boolean {
  return NUMBER.test(text) && Number(text) <= last;
}

/** PROXY protocol §2.2: `bytes` hold the fixed part. */
function readBinary(bytes: Buffer): Reading {
  const [versionAndCommand, familyAndTransport] = [bytes.readUInt8(12), bytes.readUInt8(13)];
  const told = bytes.readUInt16BE(14);
  const length = FIXED + told;
  const command = versionAndCommand & 15;
  if (versionAndCommand >> 4 !== VERSION_2) return fault("its version is not known");
  if (command !== COMMAND.local && command !== COMMAND.proxy) return fault("its command is not known");
  if (length > MAX_BINARY) return fault(`it is longer than ${MAX_BINARY} bytes`);
  // A proxy's own connection, such as a health check: the family is ignored.
  if (command === COMMAND.local) return whole(bytes, null, length);
  const [family, transport] = [FAMILIES[familyAndTransport >> 4], familyAndTransport & 15];
  if (family === undefined || transport > LAST_TRANSPORT) return fault("its family or transport is not known");
  if (told < family.block) return fault("it is too short for its addresses");
  // What is not carried here counts as unspecified.
  const hasAddress = family.address > 0 && transport === STREAM;
  return whole(bytes, hasAddress ? bytes.subarray(FIXED, FIXED + family.address) : null, length);
}

/** PROXY protocol §2.2: an address is read when all has come. */
function whole(bytes: Buffer, address: Buffer | null, length: number): Reading {
  if (bytes.length < length) return INCOMPLETE;
  const source = address === null ? null : canonicalAddress(ipaddr.fromByteArray([...address]).toString());
  return { kind: "header", source, length };
}
