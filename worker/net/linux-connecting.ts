/**
 * Sockets that Bun is connecting, and tells nothing of: they can be ended by their descriptors. Linux with glibc; elsewhere none
 * is known.
 *
 * Why: Bun can't end them, and the system asks an address that answers nothing for two minutes (tcp_syn_retries). Meanwhile
 * each is an open file, and whoever has asked for it has long been told that there is no connection.
 */
import { ptr } from "bun:ffi";
import ipaddr from "ipaddr.js";
import { libc } from "../../shared/net/linux-libc.ts";
import { SYN_SENT, tcpInfoOf } from "../../shared/net/linux-tcp.ts";

/** A socket of this process. */
export interface NotedSocket {
  fd: number;
  /** Its descriptor may be another file's later; the kernel gives this to no other socket. */
  cookie: bigint;
}

/**
 * Notes the socket that `open` opens, which is on the lowest free descriptor: so is one to an address (to a name it comes
 * later). Null where there is none. It takes one microsecond of a connect's twenty.
 */
export function noteSocket<T>(open: () => T): { opened: T; socket: NotedSocket | null } {
  const fd = lowestFree();
  const opened = open();
  const cookie = cookieOf(fd);
  return { opened, socket: cookie === null ? null : { fd, cookie } };
}

/**
 * Ends a socket that is being connected to an address: its owner is told of a reset in the next turn of the event loop. True
 * also for one that has been answered, of which its owner hears then. False where nothing is done, because it is not that one.
 */
export function endConnecting({ fd, cookie }: NotedSocket, address: string, port: number): boolean {
  // It was closed, or another thread (of `fetch`, say) was quicker to take the descriptor.
  if (cookieOf(fd) !== cookie || !isTo(fd, address, port)) return false;
  return tcpInfoOf(fd)?.state !== SYN_SENT || libc()?.shutdown(fd, SHUT_RDWR) === 0;
}

// --- internal ---

const SHUT_RDWR = 2;
const [SOL_SOCKET, SO_PEERNAME, SO_COOKIE] = [1, 28, 57];
/** struct sockaddr_in and sockaddr_in6: family, port, (flow information,) address. */
const [PORT, IPV4, IPV6] = [2, { family: 2, address: 4, end: 8 }, { family: 10, address: 8, end: 24 }];

// A small typed array's own memory moves when it is used a lot; an ArrayBuffer's stays.
const [cookie, length, value] = [new ArrayBuffer(8), new ArrayBuffer(4), new ArrayBuffer(IPV6.end)];
const [cookieIn, lengthIn, valueIn] = [new BigUint64Array(cookie), new Uint32Array(length), Buffer.from(value)];
const [cookieAt, lengthAt, valueAt] = [ptr(cookie), ptr(length), ptr(value)];

/** -1 where that can't be known. */
function lowestFree(): number {
  const calls = libc();
  const fd = calls?.dup(2) ?? -1;
  if (fd !== -1) calls?.close(fd);
  return fd;
}

/** Null where there is no socket. */
function cookieOf(fd: number): bigint | null {
  lengthIn[0] = cookie.byteLength;
  if (fd === -1 || libc()?.getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookieAt, lengthAt) !== 0) return null;
  return cookieIn[0] ?? null;
}

/** getpeername(2) tells nothing before there is a connection; this option does. */
function isTo(fd: number, address: string, port: number): boolean {
  if (!ipaddr.isValid(address)) return false;
  const wanted = ipaddr.parse(address);
  const at = wanted.kind() === "ipv4" ? IPV4 : IPV6;
  lengthIn[0] = at.end; // more than it has is refused
  if (libc()?.getsockopt(fd, SOL_SOCKET, SO_PEERNAME, valueAt, lengthAt) !== 0) return false;
  const found = valueIn.subarray(at.address, at.end);
  const isPort = valueIn.readUInt16LE() === at.family && valueIn.readUInt16BE(PORT) === port;
  return isPort && found.equals(Buffer.from(wanted.toByteArray()));
}
