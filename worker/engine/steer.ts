/**
 * Which of the listeners that share a port (SO_REUSEPORT) gets its new connections: ours when a certificate is renewed,
 * and those of two processes when one takes over from the other. Linux with glibc; elsewhere nothing is steered.
 *
 * Why: the kernel spreads connections over the listeners of a port, and those that wait in a listener's queue are reset
 * with it. A plain close under 12,000 fresh connections a second reset nine of them (Bun.serve) or three (Bun.listen);
 * with the rest steered away before, none in hundreds of take-overs.
 */
import { dlopen, ptr } from "bun:ffi";
import { listenersOf } from "./sockets.ts";

/** Other processes' listeners on our address of `port`. */
export function othersOn(port: number): number[] {
  return listenersOf(port).others;
}

/** New connections of `port` go to listener number `at` of those that share it, counted from 0; false when that can't be done. */
export function steer(port: number, at: number): boolean {
  // One of them may have been closed in this turn.
  return listenersOf(port).descriptors.some((fd) => attach(fd, at));
}

/**
 * Opens a listener that shares its port. New connections go to the eldest of its group: a successor gets none before
 * they are handed over to it, so that one that fails has lost nobody's.
 */
export function openShared<S extends { port?: number | undefined }>(open: () => S): S {
  const expected = lowestFree();
  const listener = open();
  // Looking for it in the tables takes a millisecond, which thousands of circuits would feel.
  if (!(isListening(expected) && attach(expected, 0)) && listener.port !== undefined) steer(listener.port, 0);
  return listener;
}

/** True when connections can be steered here. */
export function canSteer(): boolean {
  return process.platform === "linux" && libc() !== null;
}

// --- internal ---

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_ATTACH_REUSEPORT_CBPF = 51;
/** BPF_RET | BPF_K: a program that answers with a constant. A number that no listener has lets the kernel spread them. */
const BPF_RETURN = 6;

let loaded: ReturnType<typeof load> | undefined;
const libc = () => (loaded === undefined ? (loaded = load()) : loaded);

/** Bun has no call for these. Null where there is no glibc. */
function load() {
  try {
    return dlopen("libc.so.6", {
      dup: { args: ["int"], returns: "int" },
      close: { args: ["int"], returns: "int" },
      getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
      setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
    }).symbols;
  } catch {
    return null;
  }
}

/** The descriptor that what is opened next will have; -1 when that can't be known. */
function lowestFree(): number {
  const fd = libc()?.dup(2) ?? -1;
  if (fd !== -1) libc()?.close(fd);
  return fd;
}

function isListening(fd: number): boolean {
  const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])];
  return libc()?.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length)) === 0 && value[0] === 1;
}

function attach(fd: number, at: number): boolean {
  // struct sock_filter { u16 code; u8 jt, jf; u32 k; }
  const filter = Buffer.alloc(8);
  filter.writeUInt16LE(BPF_RETURN, 0);
  filter.writeUInt32LE(at, 4);
  // struct sock_fprog { u16 len; struct sock_filter *filter; }
  const program = Buffer.alloc(16);
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(BigInt(ptr(filter)), 8);
  return libc()?.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(program), program.length) === 0;
}
