/**
 * Whether a request costs the worker more when it has 10,000 circuits than with one. Asked for all of them in turn it
 * also accounts for each of them every second, and checks as many permits; so that is a column of its own.
 */
import { costOf } from "./cost.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { inTurns, withUpstream } from "./stage.ts";
import { verdict } from "./verdict.ts";
import { startWorkerPeer, type WorkerPeer } from "./worker-peer.ts";
import { wrk, type WrkFigures } from "./wrk.ts";

const AMOUNT = {
  /** At 5,000 requests per second every circuit has been asked for after the warm-up. Seconds. */
  full: { rounds: 2, seconds: 3, warmUp: 2, circuits: 10_000 },
  smoke: { rounds: 1, seconds: 1, warmUp: 0, circuits: 100 },
} satisfies Record<Size, object>;
/** Columns are named by the full amount. */
const FEW = "1 circuit";
const MANY = "10,000, one asked";
const ALL = "10,000, all asked";
const LOAD = "1 KiB, 64 connections";
const CPU = `${LOAD}, CPU`;
/** Two runs of the same differ by this much. */
const NOISE = 1.1;

export async function benchCircuits(size: Size): Promise<Sheet> {
  const { rounds, seconds, warmUp, circuits } = AMOUNT[size];
  const sheet = new Sheet(
    [FEW, MANY, ALL],
    [
      [MANY, FEW],
      [ALL, FEW],
    ],
  );
  await withUpstream(size, async ({ http }, keep) => {
    const few = await keep(startWorkerPeer({ upstream: http, wildcard: 1 }));
    const many = await keep(startWorkerPeer({ upstream: http, wildcard: circuits }));
    const columns = [
      { ...few, name: FEW },
      { ...many, name: MANY, keys: many.keys.slice(0, 1) },
      { ...many, name: ALL },
    ];
    await inTurns(rounds, columns, async (column, round) => {
      if (round === 0 && warmUp > 0) await run(column, warmUp);
      measure(sheet, column, await run(column, seconds));
    });
  });
  return sheet;
}

export function judgeCircuits(sheet: Sheet): string {
  const [one, all] = [sheet.ratio(CPU, MANY, FEW), sheet.ratio(CPU, ALL, FEW)];
  const measured = `${one.toFixed(2)} × when one is asked for, ${all.toFixed(2)} × when all are`;
  return verdict("CPU per request does not grow from 1 circuit to 10,000", one < NOISE && all < NOISE, measured);
}

// --- internal ---

function measure(sheet: Sheet, column: WorkerPeer, { perSecond, p50, p99, cpuEach }: WrkFigures): void {
  sheet.add(LOAD, "req/s", column.name, perSecond);
  sheet.add(`${LOAD}, p50`, "ms", column.name, p50);
  sheet.add(`${LOAD}, p99`, "ms", column.name, p99);
  if (cpuEach !== null) sheet.add(CPU, "µs/req", column.name, cpuEach * 1e6);
  sheet.add("memory", "MiB", column.name, costOf(column.pid).rss / 2 ** 20);
}

function run(column: WorkerPeer, seconds: number) {
  return wrk(column, { path: "/1k", connections: 64, seconds, keys: column.keys });
}
