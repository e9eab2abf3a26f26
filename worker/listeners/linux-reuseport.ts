/**
 * Which of the listeners that share a port (SO_REUSEPORT) gets its new connections: ours when a certificate is renewed,
 * and those of two processes when one takes over from the other. Linux with glibc; elsewhere nothing is steered.
 *
 * Why: the kernel spreads connections over the listeners of a port, and those that wait in a listener's queue are reset
 * with it. A plain close under 12,000 fresh connections a second reset nine of them (Bun.serve) or three (Bun.listen);
 * with the rest steered away before, none in hundreds of take-overs.
 */
import { ptr } from "bun:ffi";
import { libc } from "../net/linux-libc.ts";
import { inodeOf } from "./linux-sockets.ts";

/** A listening socket of ours. */
export interface OwnSocket {
  fd: number;
  /** Its descriptor may be another file's later; this stays. */
  inode: number;
}

/** Opens a listener and finds its socket, of which Bun tells nothing; one that nobody has where that can't be done. */
export function openNoted<S>(open: () => S): { listener: S; socket: OwnSocket } {
  const free = lowestFree();
  const listener = open();
  // What listens now on a descriptor that was free before is it.
  const fd = free.find(isListening) ?? -1;
  return { listener, socket: { fd, inode: inodeOf(fd) } };
}

/**
 * New connections of the address that `socket` shares go to listener number `at` of those that share it, counted from 0;
 * false when that can't be done.
 */
export function steer({ fd, inode }: OwnSocket, at: number): boolean {
  return fd !== -1 && inodeOf(fd) === inode && attach(fd, at);
}

/** True when connections can be steered here: not everywhere where the call is known is it allowed. */
export function canSteer(): boolean {
  if (libc() === null) return false;
  try {
    const shared = { hostname: "127.0.0.1", port: 0, reusePort: true };
    const { listener, socket } = openNoted(() => Bun.listen({ ...shared, socket: { data: () => undefined } }));
    const can = steer(socket, 0);
    listener.stop(true);
    return can;
  } catch {
    return false; // no loopback: then nobody could ask the other process who it is
  }
}

// --- internal ---

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_ATTACH_REUSEPORT_CBPF = 51;
/** BPF_RET | BPF_K: a program that answers with a constant. A number that no listener has lets the kernel spread them. */
const BPF_RETURN = 6;
/**
 * So many descriptors may be taken while a listener is opened: the first one in a process brings its poll with it, and
 * threads of Bun's open connections meanwhile.
 */
const TAKEN_AT_ONCE = 16;

/** The descriptors that what is opened next will have; none where that can't be known. */
function lowestFree(): number[] {
  const calls = libc();
  if (calls === null) return [];
  const free = Array.from({ length: TAKEN_AT_ONCE }, () => calls.dup(2)).filter((fd) => fd !== -1);
  for (const fd of free) calls.close(fd);
  return free;
}

function isListening(fd: number): boolean {
  const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])];
  return libc()?.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length)) === 0 && value[0] === 1;
}

/** struct sock_filter { u16 code; u8 jt, jf; u32 k; }. It is read by its address, which the collector does not know of: so it stays. */
const filter = Buffer.alloc(8);
/** struct sock_fprog { u16 len; struct sock_filter *filter; } */
const program = Buffer.alloc(16);

function attach(fd: number, at: number): boolean {
  filter.writeUInt16LE(BPF_RETURN, 0);
  filter.writeUInt32LE(at, 4);
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(BigInt(ptr(filter)), 8);
  return libc()?.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(program), program.length) === 0;
}
