/**
 * How many TCP connections to an address are still being made, as Linux tells it. `fetch` does not say whether it is
 * connected, and a fresh dial of the same address may fail only because the app's accept queue is full just now.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
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
function inodes(table: string, remote: string | null, port: number): string[] {
  const tail = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").flatMap((line) => {
    const [, , address = "", state, , , , , , inode = ""] = line.trim().split(/\s+/);
    // A name may stand for any address, and IPv6 ones are rare: then the port has to do.
    const isIt = state === SYN_SENT && address.endsWith(tail) && (remote === null || address.startsWith(`${remote}:`));
    return isIt ? [inode] : [];
  });
}

/** The tables tell of all processes: only sockets that are open here count. */
async function countOwn(wanted: ReadonlySet<string>): Promise<number> {
  let own = 0;
  for (const name of await readdir(OPEN_FILES)) {
    // One that was closed meanwhile has no link.
    const link = await readlink(`${OPEN_FILES}/${name}`).catch(() => "");
    if (wanted.has(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? "")) own++;
  }
  return own;
}

/** 10.0.3.17 → 1103000A: the kernel prints the bytes in the machine's order, which is little-endian wherever Bun runs. */
function hexOf(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).toUpperCase().padStart(2, "0"));
  return bytes.toReversed().join("");
}
