/** Waiting for a condition instead of for time. */

/** Resolves with the first value that is neither false, null nor undefined. Rejects after `ms` with what was awaited. */
export async function until<T>(
  look: () => T | Promise<T>,
  ms = 30_000,
  what = look.toString(),
): Promise<Exclude<T, false | null | undefined>> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await look();
    if (value !== false && value !== null && value !== undefined) return value as Exclude<T, false | null | undefined>;
    if (performance.now() > end) throw new Error(`waited ${ms} ms in vain for: ${what}`);
    await Bun.sleep(5);
  }
}

/** Whether somebody takes connections there by now. */
export async function accepts(port: number, hostname = "127.0.0.1"): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname, port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false; // not yet
  }
}
