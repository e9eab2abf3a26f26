/**
 * How many TCP connections to an address are still being made, as Linux tells it. `fetch` does not say whether it is
 * connected, and a fresh dial of the same address may fail only because the app's accept queue is full just now.
 */
import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";

const TABLES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/** State of a socket that has asked for a connection and has no answer: TCP_SYN_SENT of the kernel. */
const SYN_SENT = "02";

/** Sockets of this machine's network that wait for `host`:`port` to accept. Null where the system doesn't tell. */
export async function connecting(host: string, port: number): Promise<number | null> {
  const tables = await Promise.all(TABLES.map(read));
  if (tables.every((table) => table === null)) return null;
  const remote = isIPv4(host) ? hexOf(host) : null;
  return tables.reduce((sum, table) => sum + count(table ?? "", remote, port), 0);
}

// --- internal ---

/** Null where there is no such file: not Linux, or no IPv6. */
function read(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(() => null);
}

/** Lines: number, local address, remote address, state, … Addresses are hexadecimal, `:` before the port. */
function count(table: string, remote: string | null, port: number): number {
  const tail = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").filter((line) => {
    const [, , address = "", state] = line.trim().split(/\s+/);
    // A name may stand for any address, and IPv6 ones are rare: then the port has to do.
    return state === SYN_SENT && address.endsWith(tail) && (remote === null || address.startsWith(`${remote}:`));
  }).length;
}

/** 10.0.3.17 → 1103000A: the kernel prints the bytes in the machine's order, which is little-endian wherever Bun runs. */
function hexOf(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).toUpperCase().padStart(2, "0"));
  return bytes.toReversed().join("");
}
