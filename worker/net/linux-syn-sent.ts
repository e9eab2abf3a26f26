/**
 * How many TCP connections to an address are still being made, as Linux tells it. `fetch` does not say whether it is
 * connected, and a fresh dial of the same address may fail only because the app's accept queue is full just now.
 */
import { fstatSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";

const OPEN_FILES = "/proc/self/fd";
const TABLES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/** State of a socket that has asked for a connection and has no answer: TCP_SYN_SENT of the kernel. */
const SYN_SENT = "02";

/** Sockets of this process that wait for `host`:`port` to accept. Null where the system doesn't tell. */
export async function connecting(host: string, port: number): Promise<number | null> {
  const tables = await Promise.all(TABLES.map(read));
  if (tables.every((table) => table === null)) return null;
  const remote = tableAddress(host);
  const waiting = new Set(tables.flatMap((table) => inodes(table ?? "", remote, port)));
  return waiting.size === 0 ? 0 : countOwn(waiting);
}

/** How the kernel's tables write an IPv4 address; null for a name, which may stand for any, and for IPv6, which is rare. */
export function tableAddress(host: string): string | null {
  return isIPv4(host) ? hexOf(host) : null;
}

// --- internal ---

/** Null where there is no such file: not Linux, or no IPv6. */
function read(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(() => null);
}

/** Lines: number, local address, remote address, state, … , inode. Addresses are hexadecimal, `:` before the port. */
function inodes(table: string, remote: string | null, port: number): number[] {
  const tail = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const waits = `${tail} ${SYN_SENT} `;
  return table.split("\n").flatMap((line) => {
    // Most of ten thousand lines are not worth taking apart.
    if (!line.includes(waits)) return [];
    const [, , address = "", , , , , , , inode = ""] = line.trim().split(/\s+/);
    // A name may stand for any address, and IPv6 ones are rare: then the port has to do.
    const isIt = address.endsWith(tail) && (remote === null || address.startsWith(`${remote}:`));
    return isIt ? [Number(inode)] : [];
  });
}

/** So many files are looked at together, which takes a millisecond; others have their turn then. */
const TOGETHER = 512;

/**
 * The tables tell of all processes: only sockets that are open here count. Each is asked at once, as one after the other, waited
 * for, took ten seconds on a busy machine with two thousand.
 */
async function countOwn(wanted: ReadonlySet<number>): Promise<number> {
  let own = 0;
  for (const [at, name] of (await readdir(OPEN_FILES)).entries()) {
    if (own === wanted.size) break;
    if (at % TOGETHER === TOGETHER - 1) await new Promise((resolve) => setImmediate(resolve));
    if (wanted.has(socketOn(Number(name)))) own++;
  }
  return own;
}

/** The inode of an open socket; -1 for another file, or none. */
function socketOn(fd: number): number {
  try {
    const stat = fstatSync(fd);
    return stat.isSocket() ? stat.ino : -1;
  } catch {
    return -1; // closed meanwhile
  }
}

/** 10.0.3.17 → 1103000A: the kernel prints the bytes in the machine's order, which is little-endian wherever Bun runs. */
function hexOf(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).toUpperCase().padStart(2, "0"));
  return bytes.toReversed().join("");
}
