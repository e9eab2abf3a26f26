/** What one person's worst does to another one's small requests on the same worker: their p99 meanwhile, against that before. */
import { join } from "node:path";
import { CORES, startOn } from "./cores.ts";
import { HARMS, type Harm, type NeighbourOptions } from "./load-neighbour.ts";
import type { Figure } from "./measure.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { about, load, withUpstream } from "./stage.ts";
import { verdict } from "./verdict.ts";
import { isInstalled, startHaproxy } from "./proxies.ts";
import { startWorkerPeer, type WorkerPeer } from "./worker-peer.ts";

const ENGINES = { worker: "serve", sockets: "sockets" } as const;

/** What a person may have; those that stall are twice as many, of which half come again and again to be refused. */
const OF_USER = 256;

const AMOUNT: Record<Size, { rounds: number; seconds: number; connections: Record<Harm, number> }> = {
  full: { rounds: 3, seconds: 4, connections: amounts(1000, 2 * OF_USER, 8, 64) },
  smoke: { rounds: 1, seconds: 0.3, connections: amounts(20, 20, 2, 4) },
};
/** Connections of the person who is slowed. */
const CALM = 4;
const AIM = 2;
/** For comparison, in the same run. It knows no persons, so it limits none. */
const PEER = "haproxy";
const ANYBODY = [1, 2].map((at) => ({ host: `app-${at}.example`, cookie: "a=b" }));

export async function benchNeighbour(size: Size): Promise<Sheet> {
  const { rounds } = AMOUNT[size];
  const sheet = new Sheet([...Object.keys(ENGINES), PEER], []);
  await withUpstream(size, async ({ http }, keep) => {
    for (const [column, engine] of Object.entries(ENGINES)) {
      const limits = { user_connections: OF_USER };
      const worker = await keep(startWorkerPeer({ upstream: http, engine, wildcard: 2, limits }));
      for (let round = 0; round < rounds; round++)
        for (const harm of HARMS) await about(`${column}, ${harm}`, compare(sheet, column, worker, harm, size));
    }
    if (!isInstalled("haproxy", size)) return;
    const haproxy = { ...(await keep(startHaproxy("http", http))), keys: ANYBODY };
    for (let round = 0; round < rounds; round++)
      for (const harm of HARMS) await about(`${PEER}, ${harm}`, compare(sheet, PEER, haproxy, harm, size));
  });
  return sheet;
}

export function judgeNeighbour(sheet: Sheet): string {
  return HARMS.map((harm) => {
    const ratios = Object.keys(ENGINES).map((column) => sheet.value(timesRow(harm), column));
    const reached = ratios.every((ratio) => ratio <= AIM);
    return verdict(`one's ${harm} slow another's p99 to at most ${AIM} ×`, reached, ratios.map((one) => `${one.toFixed(2)} ×`).join(", ")); // prettier-ignore
  }).join("\n");
}

// --- internal ---

function amounts(idle: number, stalled: number, messages: number, requests: number): Record<Harm, number> {
  return {
    "idle connections": idle,
    "stalled bodies": stalled,
    "stalled readers": stalled,
    "unfinished messages": messages,
    requests,
  };
}

function timesRow(harm: Harm): string {
  return `${harm}: p99 meanwhile ÷ before`;
}

/** Before and meanwhile, one after the other: what disturbs the machine for a while disturbs both. */
async function compare(
  sheet: Sheet,
  column: string,
  worker: Pick<WorkerPeer, "port" | "keys">,
  harm: Harm,
  size: Size,
): Promise<void> {
  const { seconds, connections } = AMOUNT[size];
  const [calm, harming] = worker.keys;
  if (calm === undefined || harming === undefined) throw new Error("the worker was given too few circuits");
  const ask = () => load<Figure>("calm", { port: worker.port, ...calm, connections: CALM, seconds });
  const before = await ask();
  const options = { port: worker.port, ...harming, connections: connections[harm], seconds, harm } satisfies NeighbourOptions; // prettier-ignore
  const other = startOn(CORES.rest, [process.execPath, join(import.meta.dir, "load.ts"), "harm", JSON.stringify(options)]); // prettier-ignore
  try {
    await other.said('"harming"');
    const meanwhile = await ask();
    sheet.add(`${harm}: p99 before`, "ms", column, before.p99);
    sheet.add(`${harm}: p99 meanwhile`, "ms", column, meanwhile.p99);
    sheet.add(timesRow(harm), "×", column, meanwhile.p99 / before.p99);
  } finally {
    await other.stop("SIGKILL");
  }
}
