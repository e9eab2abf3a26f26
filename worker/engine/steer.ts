/**
 * Which of the listeners that share a port (SO_REUSEPORT) gets its new connections: ours when a certificate is renewed,
 * and those of two processes when one takes over from the other. Linux with glibc; elsewhere nothing is steered.
 *
 * Why: the kernel spreads connections over the listeners of a port, and those that wait in a listener's queue are reset
 * with it. A plain close under 12,000 fresh connections a second reset nine of them (Bun.serve) or three (Bun.listen);
 * with the rest steered away before, none in hundreds of take-overs.
 */
import { dlopen, ptr } from "bun:ffi";
import { closeSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";

/** A listening socket, as the kernel's tables name it. */
export interface Listening {
  /** Address and port in the kernel's hexadecimal. */
  address: string;
  port: number;
  inode: number;
}

/** The listening sockets of all processes; empty where the system doesn't tell. */
export function listening(): readonly Listening[] {
  return look().all;
}

/** Inodes of the sockets that a process has open, with their descriptors; empty when it may not be looked into. */
export function socketsOf(pid: number | "self"): Map<number, number> {
  const folder = `/proc/${pid}/fd`;
  const found = new Map<number, number>();
  for (const name of namesIn(folder)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`${folder}/${name}`))?.[1];
    if (inode !== undefined) found.set(Number(inode), Number(name));
  }
  return found;
}

/** Other processes' listeners on our address of `port`. */
export function othersOn(port: number): number[] {
  return groupOf(port).others;
}

/** New connections of `port` go to listener number `at` of those that share it, counted from 0; false when that can't be done. */
export function steer(port: number, at: number): boolean {
  // One of them may have been closed in this turn.
  return groupOf(port).descriptors.some((fd) => attach(fd, at));
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

interface View {
  all: Listening[];
  own: Map<number, number>;
}

let view: View | null = null;

/** Kept for a turn of the event loop: a stop or a renewal asks for each of a thousand ports. */
function look(): View {
  if (view !== null) return view;
  view = { all: TABLES.flatMap(read), own: socketsOf("self") };
  setImmediate(() => (view = null));
  return view;
}

function groupOf(port: number): { descriptors: number[]; others: number[] } {
  const found = group(look(), port);
  if (found.descriptors.length > 0) return found;
  // Our listener is younger than the view.
  view = null;
  return group(look(), port);
}

function group({ all, own }: View, port: number): { descriptors: number[]; others: number[] } {
  const there = all.filter((one) => one.port === port);
  const ours = there.filter(({ inode }) => own.has(inode));
  const addresses = new Set(ours.map(({ address }) => address));
  return {
    descriptors: ours.flatMap(({ inode }) => own.get(inode) ?? []),
    others: there.filter(({ address, inode }) => addresses.has(address) && !own.has(inode)).map(({ inode }) => inode),
  };
}

const TABLES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/** State of a listening socket: TCP_LISTEN of the kernel. */
const LISTEN = "0A";
const READ_BYTES = 65_536;

/** The kernel tells listening sockets first: what follows, perhaps tens of thousands of connections, is not read. */
function read(table: string): Listening[] {
  const found: Listening[] = [];
  let rest = "";
  for (const chunk of chunks(table)) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, address = "", , state = "", , , , , , inode = ""] = line.trim().split(/\s+/);
      if (state === LISTEN)
        found.push({ address, port: parseInt(address.split(":")[1] ?? "", 16), inode: Number(inode) });
      else if (address.includes(":")) return found;
    }
  }
  return found;
}

function* chunks(file: string): Iterable<string> {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return; // not Linux, or no IPv6
  }
  try {
    const buffer = Buffer.alloc(READ_BYTES);
    for (let length = readSync(fd, buffer); length > 0; length = readSync(fd, buffer))
      yield buffer.toString("latin1", 0, length);
  } finally {
    closeSync(fd);
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // gone, or another user's
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

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
