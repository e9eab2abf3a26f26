/**
 * Loopback ports for programs that can't be told "port 0". What is handed out is held until this process ends, against
 * every other test process of the machine: a range's ports are often opened long after it was asked for, so that "free
 * a moment ago" would say nothing. They lie outside the range from which the kernel takes ports for connections.
 */
import { readFileSync } from "node:fs";
import { until } from "./until.ts";

/** Neighbouring ports that are held together: by one name, so one descriptor. */
const BLOCK = 16;
/** Below are usual services, and the quickstart's ports. */
const LOWEST = 11_008;
const HIGHEST = 65_535;
/** What Linux has unless somebody set it (Documentation/networking/ip-sysctl.rst). */
const EPHEMERAL: Span = [32_768, 60_999];

type Lock = Bun.UnixSocketListener<undefined>;
type Span = [first: number, last: number];

/** What is left of the block that was taken last. */
let rest: Span = [0, -1];
/** The block that is tried next, among those of `blocks()`. */
let turn = -1;

/** A port that nobody else has. */
export async function freePort(): Promise<number> {
  return freeRange(1);
}

/** The first of `count` neighbouring ports that nobody else has. */
export async function freeRange(count: number): Promise<number> {
  for (;;) {
    while (rest[1] - rest[0] + 1 < count) rest = takeBlocks(Math.ceil(count / BLOCK));
    const low = rest[0];
    const taken = lastTaken(low, count);
    rest = [taken === null ? low + count : taken + 1, rest[1]];
    if (taken === null) return low;
  }
}

/** Ports that the kernel gives to connections and to "port 0"; `text` as in /proc/sys/net/ipv4/ip_local_port_range. */
export function ephemeralRange(text: string): Span {
  const [first, last] = text.trim().split(/\s+/).map(Number);
  return Number.isInteger(first) && Number.isInteger(last) ? [first as number, last as number] : EPHEMERAL;
}

/** First ports of all blocks outside the ephemeral range. Where it leaves too few, as on 1024–65535, those inside too. */
export function blocksOutside([first, last]: Span): number[] {
  const all: number[] = [];
  for (let low = LOWEST; low + BLOCK - 1 <= HIGHEST; low += BLOCK) all.push(low);
  const outside = all.filter((low) => low + BLOCK <= first || low > last);
  return outside.length >= 100 ? outside : all;
}

/** Holds a block of ports, or null when another process does. */
export function hold(block: number): Lock | null {
  return lock(`ports-${block}`);
}

/** Resolves when no other test process of this machine holds the name; for programs that look for free ports themselves. */
export function holdName(name: string): Promise<Lock> {
  return until(() => lock(name), 15 * 60_000, `nobody else to hold "${name}"`);
}

// --- internal ---

/**
 * Holds a name, or null when another process does. The lock is a listener with an abstract name (unix(7)): it is
 * exclusive within the network namespace, as ports are, needs no file, and the kernel frees it when the process dies,
 * however it dies.
 */
function lock(name: string): Lock | null {
  try {
    const held = Bun.listen({ unix: `\0app-proxy-test-${name}`, socket: { data: () => undefined } });
    held.unref();
    return held;
  } catch {
    return null; // the only way to ask is to try
  }
}

let known: number[] | null = null;

function blocks(): number[] {
  return (known ??= blocksOutside(ephemeralRange(systemRange())));
}

function systemRange(): string {
  try {
    return readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8");
  } catch {
    return ""; // another system
  }
}

/** Holds so many neighbouring blocks. */
function takeBlocks(count: number): Span {
  const all = blocks();
  // Each process begins elsewhere, so that it need not ask for all that the others hold.
  if (turn < 0) turn = (process.pid * 37) % all.length;
  for (let tried = 0; tried < all.length; tried++) {
    const low = all[turn] as number;
    const wanted = all.slice(turn, turn + count);
    const areNeighbours = wanted.length === count && wanted.at(-1) === low + (count - 1) * BLOCK;
    turn = (turn + 1) % all.length;
    if (!areNeighbours || !holdAll(wanted)) continue;
    turn = (turn + count - 1) % all.length;
    return [low, low + count * BLOCK - 1];
  }
  throw new Error(`No ${count * BLOCK} neighbouring ports are left that no test process of this machine holds`);
}

function holdAll(wanted: number[]): boolean {
  const held = wanted.map(hold);
  if (held.every((one) => one !== null)) return true;
  for (const one of held) one?.stop(true);
  return false;
}

/** The last of these ports on which some other program listens, or null. */
function lastTaken(low: number, count: number): number | null {
  for (let port = low + count - 1; port >= low; port--) {
    try {
      Bun.listen({ hostname: "127.0.0.1", port, exclusive: true, socket: { data() {} } }).stop(true);
    } catch {
      return port;
    }
  }
  return null;
}
