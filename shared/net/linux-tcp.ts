/** What Linux knows of a TCP connection, and how long it asks a silent peer (tcp(7)). Elsewhere nothing is known. */
import { ptr, type Pointer } from "bun:ffi";
import { libc } from "./linux-libc.ts";

export interface TcpInfo {
  /** One of the kernel's states, such as SYN_SENT. */
  state: number;
  /** Segments that were sent and not acknowledged. */
  unacknowledged: number;
  /** Milliseconds since data was sent, and since data came. */
  sinceSent: number;
  sinceReceived: number;
  /** Milliseconds since the peer acknowledged anything; it does so also while it has no room. */
  sinceAcknowledged: number;
  /** Bytes that have come; null before Linux 4.1. */
  received: number | null;
}

/** The state of a socket that has asked for a connection and has no answer. */
export const SYN_SENT = 2;

/** Of a socket of Bun's; null where it can't be known. */
export function tcpInfo(socket: object): TcpInfo | null {
  return tcpInfoOf(descriptorOf(socket));
}

/** Of a file descriptor; null where it can't be known, or is no TCP socket's. */
export function tcpInfoOf(fd: number): TcpInfo | null {
  length.writeUInt32LE(info.length);
  if (fd < 0 || libc()?.getsockopt(fd, IPPROTO_TCP, TCP_INFO, ptr(info), ptr(length)) !== 0) return null;
  // struct tcp_info: eight bytes, of which the first is the state, then 32-bit numbers: the fifth, tenth, twelfth, thirteenth.
  return {
    state: info.readUInt8(),
    unacknowledged: info.readUInt32LE(24),
    sinceSent: info.readUInt32LE(44),
    sinceReceived: info.readUInt32LE(52),
    sinceAcknowledged: info.readUInt32LE(56),
    received: length.readUInt32LE() < info.length ? null : Number(info.readBigUInt64LE(BYTES_RECEIVED)),
  };
}

/**
 * A peer that has been silent for 30 seconds is asked every 10, and given up after five questions. What Bun sets by itself,
 * one a second, gives up after ten seconds without a network.
 */
export function askSilentPeer(socket: { setKeepAlive(on: boolean, delay: number): unknown }): void {
  socket.setKeepAlive(true, SILENT_MS);
  const fd = descriptorOf(socket);
  if (fd < 0) return;
  const system = libc();
  system?.setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, EVERY.at, EVERY.bytes.byteLength);
  system?.setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, TIMES.at, TIMES.bytes.byteLength);
}

// --- internal ---

/** Bun's types leave it out; -1 for none. */
function descriptorOf(socket: object): number {
  return "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1;
}

const SILENT_MS = 30_000;
const IPPROTO_TCP = 6;
const [TCP_KEEPINTVL, TCP_KEEPCNT, TCP_INFO] = [5, 6, 11];
/** A 64-bit number further behind. */
const BYTES_RECEIVED = 128;
const [info, length] = [Buffer.alloc(BYTES_RECEIVED + 8), Buffer.alloc(4)];
const [EVERY, TIMES] = [option(10), option(5)];

/** A value as setsockopt takes it; to find its place costs more than the call. */
function option(value: number): { bytes: Int32Array; at: Pointer } {
  // With a buffer of its own: the memory of a small array moves when it gets one, and the place would be another's.
  const bytes = new Int32Array(new ArrayBuffer(4));
  bytes[0] = value;
  return { bytes, at: ptr(bytes) };
}
