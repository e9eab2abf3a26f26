/** Ports for the quickstart: the usual ones, stepping over those that are taken. */

export interface Ports {
  coordinator: number;
  workerApi: number;
  /** First and last port for circuits. */
  circuits: [low: number, high: number];
}

const FIRST = 10_200;
const CIRCUITS = 16;

/** Throws when there are none up to 20000. */
export function choosePorts(host: string): Ports {
  const coordinator = firstFree(host, FIRST, 1);
  const workerApi = firstFree(host, coordinator + 1, 1);
  const low = firstFree(host, Math.max(workerApi + 1, 10_205), CIRCUITS);
  return { coordinator, workerApi, circuits: [low, low + CIRCUITS - 1] };
}

// --- internal ---

/** The first of `count` neighbouring free ports. */
function firstFree(host: string, from: number, count: number): number {
  for (let low = from; low + count <= 20_000; low++) {
    const taken = firstTaken(host, low, count);
    if (taken === null) return low;
    low = taken;
  }
  throw new Error(`Cannot find ${count} neighbouring free ports from ${from} to 20000 on ${host}`);
}

function firstTaken(host: string, low: number, count: number): number | null {
  for (let port = low; port < low + count; port++) if (isTaken(host, port)) return port;
  return null;
}

function isTaken(hostname: string, port: number): boolean {
  try {
    Bun.listen({ hostname, port, exclusive: true, socket: { data() {} } }).stop(true);
    return false;
  } catch {
    return true; // the only way to ask is to try
  }
}
