/**
 * Who listens where, as Linux tells it in its tables: ours and other processes', read for a stop, a renewal of a
 * certificate or a take-over; never for a request.
 */
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

/** Our listeners on `port` by descriptor, and other processes' on the same address by inode. */
export function listenersOf(port: number): { descriptors: number[]; others: number[] } {
  const found = group(look(), port);
  if (found.descriptors.length > 0) return found;
  // Our listener is younger than the view.
  view = null;
  return group(look(), port);
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
