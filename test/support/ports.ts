/** Free loopback ports for programs that can't be told "port 0". */

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  return freeRange(1);
}

let next = 0;

/** The first of `count` neighbouring ports that were all free a moment ago; below the system's ephemeral range. */
export async function freeRange(count: number): Promise<number> {
  // Each test process starts elsewhere, and goes on from where it was: two runs at once rarely meet.
  next ||= 11_000 + (process.pid % 1000) * 20;
  for (let attempt = 0; attempt < 2000; attempt++) {
    if (next + count > 32_000) next = 11_000;
    const low = next;
    next += count;
    if (allFree(low, count)) return low;
  }
  throw new Error(`no ${count} neighbouring free ports`);
}

function allFree(low: number, count: number): boolean {
  for (let port = low; port < low + count; port++) {
    try {
      Bun.listen({ hostname: "127.0.0.1", port, exclusive: true, socket: { data() {} } }).stop(true);
    } catch {
      return false; // taken
    }
  }
  return true;
}
