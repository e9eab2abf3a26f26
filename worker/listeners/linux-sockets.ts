/**
 * Who listens where, as Linux tells it in its tables: ours and other processes', read for a stop, a renewal of a
 * certificate or a take-over; never for a request.
 */
import { closeSync, fstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { tableAddress } from "../net/linux-syn-sent.ts";

/** A listening socket, as the kernel's tables name it. */
export interface ListeningSocket {
  /** Address and port in the kernel's hexadecimal. */
  address: string;
  port: number;
  inode: number;
}

/** The listening sockets of all processes; empty where the system doesn't tell. Those of one address as they came. */
export function listening(): readonly ListeningSocket[] {
  return currentView().all;
}

/** What was read in this turn of the event loop is not good enough. */
export function forgetListening(): void {
  view = null;
}

/** Inodes of the listeners on a port of an address. */
export function listenersAt(host: string, port: number): number[] {
  const wanted = tableAddress(host);
  const there = currentView().byPort.get(port) ?? [];
  return there.filter(({ address }) => wanted === null || address.startsWith(`${wanted}:`)).map(({ inode }) => inode);
}

/** Inodes of the listeners that get connections to a port of an address, or some of them: those on every address too. */
export function listenersOver(host: string, port: number): number[] {
  const wanted = tableAddress(host);
  const there = currentView().byPort.get(port) ?? [];
  const isEverywhere = wanted === null || /^0+$/.test(wanted);
  return there
    .filter(({ address }) => isEverywhere || address.startsWith(`${wanted}:`) || /^0+:/.test(address))
    .map(({ inode }) => inode);
}

/** Inodes of the listeners on the very address of `own`, which are ours, without them. */
export function listenersBeside(own: readonly number[]): number[] {
  const isKnown = () => own.some((inode) => currentView().addresses.has(inode));
  // Ours may be younger than the view.
  if (!isKnown()) forgetListening();
  return own.flatMap(group).filter((inode, at, all) => !own.includes(inode) && all.indexOf(inode) === at);
}

/** Inodes of the listeners that were on the very address of `own`, which is new, before it came. */
export function listenersBefore(own: number): number[] {
  forgetListening();
  const all = group(own);
  return all.slice(0, all.indexOf(own));
}

/** Inodes of the sockets that a process has open; empty when it may not be looked into. */
export function socketsOf(pid: number): Set<number> {
  const folder = `/proc/${pid}/fd`;
  const found = new Set<number>();
  for (const name of namesIn(folder)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`${folder}/${name}`))?.[1];
    if (inode !== undefined) found.add(Number(inode));
  }
  return found;
}

/** The inode of an open file of ours; -1 when there is none. */
export function inodeOf(fd: number): number {
  if (fd < 0) return -1;
  try {
    return fstatSync(fd).ino;
  } catch {
    return -1; // closed
  }
}

// --- internal ---

interface View {
  all: ListeningSocket[];
  byPort: Map<number, ListeningSocket[]>;
  /** By inode. */
  addresses: Map<number, string>;
}

let view: View | null = null;

/** Kept for a turn of the event loop: a stop or a renewal asks for each of a thousand ports. */
function currentView(): View {
  if (view !== null) return view;
  const all = [
    // The kernel puts a new IPv4 listener before the others, an IPv6 one behind them.
    ...read("/proc/self/net/tcp").toReversed(),
    ...read("/proc/self/net/tcp6"),
  ];
  view = {
    all,
    byPort: Map.groupBy(all, ({ port }) => port),
    addresses: new Map(all.map(({ inode, address }) => [inode, address])),
  };
  setImmediate(() => (view = null));
  return view;
}

/** All on the address of one of them; empty when it does not listen. */
function group(inode: number): number[] {
  const { addresses, byPort } = currentView();
  const address = addresses.get(inode);
  if (address === undefined) return [];
  return (byPort.get(portOf(address)) ?? []).filter((one) => one.address === address).map((one) => one.inode);
}

function portOf(address: string): number {
  return parseInt(address.slice(address.indexOf(":") + 1), 16);
}

/** State of a listening socket: TCP_LISTEN of the kernel. */
const LISTEN = "0A";
const READ_BYTES = 65_536;

/** The kernel tells listening sockets first: what follows, perhaps tens of thousands of connections, is not read. */
function read(table: string): ListeningSocket[] {
  const found: ListeningSocket[] = [];
  let rest = "";
  for (const chunk of chunks(table)) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, address = "", , state = "", , , , , , inode = ""] = line.trim().split(/\s+/);
      if (state === LISTEN) found.push({ address, port: portOf(address), inode: Number(inode) });
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
