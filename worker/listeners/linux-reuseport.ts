/**
 * Which of the listeners that share a port (SO_REUSEPORT) gets its new connections: ours when a certificate is renewed,
 * and those of two processes when one takes over from the other. Linux with glibc; elsewhere nothing is steered.
 *
 * Why: the kernel spreads connections over the listeners of a port, and those that wait in a listener's queue are reset
 * with it. A plain close under 12,000 fresh connections a second reset nine of them (Bun.serve) or three (Bun.listen);
 * with the rest steered away before, none in hundreds of take-overs.
 */
import { ptr } from "bun:ffi";
import { libc } from "../../shared/net/linux-libc.ts";
import { attach, BPF, SO, type Instruction } from "./linux-bpf.ts";
import { inodeOf } from "./linux-sockets.ts";

/** A listening socket of ours. */
export interface OwnSocket {
  fd: number;
  /** Its descriptor may be another file's later; this stays. */
  inode: number;
}

/** No listener has this number: given as a place, it lets the kernel spread connections. */
export const NOBODY = 0xffff_ffff;

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
export function steer(socket: OwnSocket, at: number): boolean {
  return run(socket, [{ code: BPF.RETURN, k: at }]);
}

/** The kernel spreads the address's new connections over all that share it, as it does by itself. False as above. */
export function spread(socket: OwnSocket): boolean {
  return steer(socket, NOBODY);
}

/**
 * New connections of the address go to any of the `count` that share it but number `without`; false as above. While the
 * numbers are wrong, because one has come or gone, all of them get some: where the number is nobody's, the kernel chooses.
 */
export function spreadWithout(socket: OwnSocket, without: number, count: number): boolean {
  return run(socket, [
    { code: BPF.LOAD_WORD, k: BPF.RANDOM },
    { code: BPF.MODULO, k: count - 1 },
    { code: BPF.JUMP_IF_NOT_BELOW, k: without, no: 1 },
    { code: BPF.ADD, k: 1 },
    { code: BPF.RETURN_RESULT },
  ]);
}

/** True as long as the socket is open. */
export function isOpen({ fd, inode }: OwnSocket): boolean {
  return fd !== -1 && inodeOf(fd) === inode;
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

function run(socket: OwnSocket, program: readonly Instruction[]): boolean {
  return isOpen(socket) && attach(socket.fd, SO.ATTACH_REUSEPORT_CBPF, program);
}
