/** The connections that came in to ports of this process, as Linux has them: for sockets that Bun keeps to itself. Elsewhere there are none. */
import { readdirSync } from "node:fs";
import { ptr } from "bun:ffi";
import ipaddr from "ipaddr.js";
import { libc } from "./linux-libc.ts";
import { tcpInfoOf } from "./linux-tcp.ts";

/** A connection with nothing on its way in either direction. */
export interface Quiet {
  fd: number;
  /** The other end's port. */
  peerPort: number;
  /** Since anything was sent or came, or since it was made. Milliseconds. */
  quietMs: number;
}

/** Those of the ports, among the descriptors from `start` on and below `end`. A look at one takes three microseconds. */
export function quietConnections(ports: ReadonlySet<number>, start: number, end: number): Quiet[] {
  const found: Quiet[] = [];
  for (let fd = start; fd < end; fd++) {
    if (!ports.has(portOf("getsockname", fd))) continue;
    // The listener itself has no peer.
    const peerPort = portOf("getpeername", fd);
    const quietMs = peerPort === NONE ? null : quietTime(fd);
    if (quietMs !== null) found.push({ fd, peerPort, quietMs });
  }
  return found;
}

/** What tells a connection from others: the port that it came to, and its other end. */
export function connectionKey(port: number, peer: string, peerPort: number): string {
  const bytes = ipaddr.isValid(peer) ? ipaddr.process(peer).toByteArray() : [];
  return `${port} ${Buffer.from(bytes).toString("hex")} ${peerPort}`;
}

/**
 * The descriptors of the connections to these ports, by `connectionKey`; null when they can't be told just now. Three microseconds
 * for each file that is open.
 */
export function acceptedAt(ports: ReadonlySet<number>): Map<string, number> | null {
  const found = new Map<string, number>();
  const descriptors = ownDescriptors();
  if (descriptors === null) return null;
  for (const fd of descriptors) {
    const port = portOf("getsockname", fd);
    if (!ports.has(port)) continue;
    const peerPort = portOf("getpeername", fd);
    if (peerPort !== NONE) found.set(`${port} ${addressIn()} ${peerPort}`, fd);
  }
  return found;
}

/** How many bytes the owner of a connection has read of it; null where it can't be known, or the peer has another port. */
export function bytesRead(fd: number, peerPort: number): number | null {
  if (portOf("getpeername", fd) !== peerPort) return null;
  const unread = bytes(fd, UNREAD);
  const received = tcpInfoOf(fd)?.received ?? null;
  return unread === null || received === null ? null : received - unread;
}

/** Ends both halves of a connection: its owner sees the end and closes it. */
export function endConnection(fd: number): void {
  libc()?.shutdown(fd, SHUT_RDWR);
}

// --- internal ---

const NONE = -1;
const SHUT_RDWR = 2;
/** Bytes that have come and were not read; bytes that the peer has not acknowledged (tcp(7): SIOCINQ, SIOCOUTQ). */
const [UNREAD, UNACKNOWLEDGED] = [0x541bn, 0x5411n];
/** struct sockaddr_in and sockaddr_in6 begin with the family, then the port; then come the address, or flow information and the address. */
const [ADDRESS_SIZE, PORT, IPV6] = [28, 2, 10];
const [address, number, length] = [Buffer.alloc(ADDRESS_SIZE), Buffer.alloc(4), Buffer.alloc(4)];

function portOf(call: "getsockname" | "getpeername", fd: number): number {
  length.writeUInt32LE(ADDRESS_SIZE);
  return libc()?.[call](fd, ptr(address), ptr(length)) === 0 ? address.readUInt16BE(PORT) : NONE;
}

/** The address that was asked for last, as in a key: one of IPv4 in four bytes, whatever socket has it. */
function addressIn(): string {
  if (address.readUInt16LE() !== IPV6) return address.toString("hex", 4, 8);
  const hex = address.toString("hex", 8, 24);
  return hex.startsWith(MAPPED) ? hex.slice(MAPPED.length) : hex;
}

const MAPPED = `${"00".repeat(10)}ffff`;

function ownDescriptors(): number[] | null {
  if (libc() === null) return [];
  try {
    return readdirSync("/proc/self/fd").map(Number);
  } catch {
    return null; // no file is left to ask with
  }
}

/** Null where something is on its way. */
function quietTime(fd: number): number | null {
  if (bytes(fd, UNREAD) !== 0 || bytes(fd, UNACKNOWLEDGED) !== 0) return null;
  const info = tcpInfoOf(fd);
  return info === null ? null : Math.min(info.sinceSent, info.sinceReceived);
}

function bytes(fd: number, what: bigint): number | null {
  return libc()?.ioctl(fd, what, ptr(number)) === 0 ? number.readUInt32LE() : null;
}
