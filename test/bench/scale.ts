/**
 * What grows with the number of circuits: the same steps at a site of twenty workers without circuits and at one with
 * 100,000, in turn, so that what disturbs the machine disturbs both; and a worker's table with 10 to 100,000.
 */
import { join } from "node:path";
import { costOf } from "./cost.ts";
import { stepCalls, stepCreation, stepIdle, stepInside } from "./scale-steps.ts";
import { startSite, type Site } from "./scale-site.ts";
import type { TableFigures } from "./scale-table.ts";
import { Sheet } from "./sheet.ts";
import { inTurns } from "./stage.ts";
import { verdict } from "./verdict.ts";

export interface ScaleSheets {
  coordinator: Sheet;
  table: Sheet;
}

const EMPTY = "empty";
const FULL = "100,000";
const EACH = 5000;
const SIZES = [10, 5000, 100_000];
const ROUNDS = 3;
/** Two passes of the collector at least. */
const IDLE_SECONDS = 25;
/** As the creation benchmark: until then the services still compile their hot paths. */
const WARM_UP = { concurrency: 8, count: 500, maxMs: 30_000 };
const LOADS = [
  { concurrency: 1, count: 300, maxMs: 20_000 },
  { concurrency: 32, count: 1000, maxMs: 30_000 },
];
const MOST = 2;

export async function benchScale(): Promise<ScaleSheets> {
  const coordinator = new Sheet([EMPTY, FULL], [[FULL, EMPTY]]);
  const sites: Site[] = [];
  try {
    for (const [name, each] of [[EMPTY, 0], [FULL, EACH]] as const) sites.push(await startSite(name, each)); // prettier-ignore
    for (const site of sites) {
      coordinator.add("start to the first answer", "ms", site.name, site.startMs);
      coordinator.add("memory of the coordinator", "MiB", site.name, costOf(site.pid).rss / 2 ** 20);
    }
    await inTurns(ROUNDS, sites, (site) => stepCalls(coordinator, site));
    await inTurns(1, sites, (site) => stepCreation(new Sheet([EMPTY, FULL], []), site, WARM_UP));
    await inTurns(ROUNDS, sites, async (site) => {
      for (const load of LOADS) await stepCreation(coordinator, site, load);
    });
    for (const site of sites) await stepInside(coordinator, site);
    for (const site of sites) await stepIdle(coordinator, site, IDLE_SECONDS);
  } finally {
    await Promise.all(sites.map((site) => site.stop()));
  }
  return { coordinator, table: await benchTable() };
}

export function judgeScale({ coordinator, table }: ScaleSheets): string {
  const p99 = LOADS.map(({ concurrency }) => coordinator.ratio(`creation, ${concurrency} at a time, p99`, FULL, EMPTY));
  const [few, many] = [column(SIZES[0] ?? 0), column(SIZES.at(-1) ?? 0)];
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

async function benchTable(): Promise<Sheet> {
  const sheet = new Sheet(SIZES.map(column), [[column(SIZES.at(-1) ?? 0), column(SIZES[0] ?? 0)]]);
  for (let round = 0; round < ROUNDS; round++) {
    for (const size of SIZES) {
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
