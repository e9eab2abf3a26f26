/**
 * What grows with the number of circuits: the same steps at a site of twenty workers without circuits and at one with
 * 100,000, in turn, so that what disturbs the machine disturbs both; and a worker's table with 10 to 100,000.
 */
import { join } from "node:path";
import { costOf } from "./cost.ts";
import type { Load } from "./measure.ts";
import { stepCalls, stepCreation, stepIdle, stepInside } from "./scale-steps.ts";
import { startSite, type Site } from "./scale-site.ts";
import type { TableFigures } from "./scale-table.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { inTurns } from "./stage.ts";
import { verdict } from "./verdict.ts";

export interface ScaleSheets {
  coordinator: Sheet;
  table: Sheet;
}

const EMPTY = "empty";
const FULL = "100,000";
interface Amount {
  workers: number;
  /** Circuits of each worker of the full site; columns are named by the full amount. */
  each: number;
  /** Circuits in a worker's table. */
  tables: readonly [few: number, ...more: number[], many: number];
  rounds: number;
  /** The part of the calls that figures need. */
  share: number;
  idleSeconds: number;
  /** As the creation benchmark: until then the services still compile their hot paths. */
  warmUp: Load;
  loads: readonly Load[];
}

const AMOUNT: Record<Size, Amount> = {
  full: {
    workers: 20,
    each: 5000,
    tables: [10, 5000, 100_000],
    rounds: 3,
    share: 1,
    // Two passes of the collector at least.
    idleSeconds: 25,
    warmUp: { concurrency: 8, count: 500, maxMs: 30_000 },
    loads: [
      { concurrency: 1, count: 300, maxMs: 20_000 },
      { concurrency: 32, count: 1000, maxMs: 30_000 },
    ],
  },
  smoke: {
    workers: 2,
    each: 20,
    tables: [10, 1000],
    rounds: 1,
    share: 0.01,
    idleSeconds: 0.1,
    warmUp: { concurrency: 8, count: 8, maxMs: 20_000 },
    loads: [
      { concurrency: 1, count: 2, maxMs: 20_000 },
      { concurrency: 32, count: 32, maxMs: 20_000 },
    ],
  },
};
const MOST = 2;

export async function benchScale(size: Size): Promise<ScaleSheets> {
  const { workers, each, tables, rounds, share, idleSeconds, warmUp, loads } = AMOUNT[size];
  const coordinator = new Sheet([EMPTY, FULL], [[FULL, EMPTY]]);
  const sites: Site[] = [];
  try {
    for (const [name, circuits] of [[EMPTY, 0], [FULL, each]] as const) sites.push(await startSite(name, workers, circuits)); // prettier-ignore
    for (const site of sites) {
      coordinator.add("start to the first answer", "ms", site.name, site.startMs);
      coordinator.add("memory of the coordinator", "MiB", site.name, costOf(site.pid).rss / 2 ** 20);
    }
    await inTurns(rounds, sites, (site) => stepCalls(coordinator, site, share));
    await inTurns(1, sites, (site) => stepCreation(new Sheet([EMPTY, FULL], []), site, warmUp));
    await inTurns(rounds, sites, async (site) => {
      for (const load of loads) await stepCreation(coordinator, site, load);
    });
    for (const site of sites) await stepInside(coordinator, site);
    for (const site of sites) await stepIdle(coordinator, site, idleSeconds);
  } finally {
    await Promise.all(sites.map((site) => site.stop()));
  }
  return { coordinator, table: await benchTable(tables, rounds) };
}

export function judgeScale({ coordinator, table }: ScaleSheets): string {
  const p99 = AMOUNT.full.loads.map(({ concurrency }) =>
    coordinator.ratio(`creation, ${concurrency} at a time, p99`, FULL, EMPTY),
  );
  const { tables } = AMOUNT.full;
  const [few, many] = [column(tables[0]), column(tables.at(-1) ?? 0)];
  const lookups = ["by port", "by request"].map((what) => table.ratio(what, many, few));
  const text = (ratios: number[]) => ratios.map((one) => `${one.toFixed(2)} ×`).join(" and ");
  return [
    verdict(
      "creation p99 with 100,000 circuits at most twice that of an empty database",
      p99.every((one) => one <= MOST),
      `${text(p99)} at concurrency 1 and 32`,
    ),
    `a worker's lookup from 10 to 100,000 circuits: ${text(lookups)}, by port and by request`,
  ].join("\n");
}

// --- internal ---

async function benchTable(sizes: Amount["tables"], rounds: number): Promise<Sheet> {
  const sheet = new Sheet(sizes.map(column), [[column(sizes.at(-1) ?? 0), column(sizes[0])]]);
  for (let round = 0; round < rounds; round++) {
    for (const size of sizes) {
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "scale-table.ts"), String(size)]);
      const figures = JSON.parse(await new Response(child.stdout).text()) as TableFigures;
      sheet.add("by port", "ns", column(size), figures.byPort);
      sheet.add("by request", "ns", column(size), figures.byRequest);
      if (size >= 1000) sheet.add("memory of a circuit", "KiB", column(size), figures.each / 1024);
    }
  }
  return sheet;
}

function column(size: number): string {
  return `${size.toLocaleString("en-US")} in the table`;
}
