/**
 * `bun run bench [name…]`: runs the named benchmarks, or all, in turn; prints their tables with the machine's description,
 * and writes both to test/artefacts/bench.json. Ends with 1 when an answer was wrong, with 0 whatever the speed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { benchBulk, judgeBulk } from "./bulk.ts";
import { benchCircuits, judgeCircuits } from "./circuits.ts";
import { missingPrograms } from "./cores.ts";
import { benchCreation, judge } from "./creation.ts";
import { benchHttp, judgeHttp } from "./http-rate.ts";
import { describeMachine, machineText } from "./machine.ts";
import { table } from "./measure.ts";
import { benchScale, judgeScale } from "./scale.ts";
import type { Sheet } from "./sheet.ts";
import { benchStream, judgeStream } from "./stream-delay.ts";
import { benchTcp, judgeTcp } from "./tcp.ts";
import { benchTransfer, judgeTransfer } from "./transfer.ts";
import { programVersions } from "./versions.ts";
import { benchWebSocket, judgeWebSocket } from "./websocket.ts";

interface Result {
  figures: readonly object[];
  /** The figures for people. */
  table: string;
  /** What they mean, in words. */
  summary: string;
}

const BENCHMARKS: Record<string, () => Promise<Result>> = {
  creation,
  bulk: async () => {
    const figures = await benchBulk();
    return { figures, table: table(figures), summary: judgeBulk(figures) };
  },
  http: () => traffic(benchHttp, judgeHttp),
  stream: () => traffic(benchStream, judgeStream),
  transfer: () => traffic(benchTransfer, judgeTransfer),
  websocket: () => traffic(benchWebSocket, judgeWebSocket),
  tcp: () => traffic(benchTcp, judgeTcp),
  circuits: () => traffic(benchCircuits, judgeCircuits),
  scale: async () => {
    const sheets = await benchScale();
    const { coordinator, table: lookups } = sheets;
    const figures = [...coordinator.rows(), ...lookups.rows()];
    return { figures, table: `${coordinator.text()}\n\n${lookups.text()}`, summary: judgeScale(sheets) };
  },
};
const ARTEFACTS = join(import.meta.dir, "../artefacts");

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => BENCHMARKS[name] === undefined);
if (unknown.length > 0) fail(`no benchmark ${unknown.join(", ")}; there are ${Object.keys(BENCHMARKS).join(", ")}`);
if (wanted.length === 0 || wanted.some((name) => !["creation", "bulk", "scale"].includes(name))) {
  const missing = missingPrograms();
  if (missing !== null) fail(missing);
}

const machine = describeMachine();
const versions = programVersions();
console.log(`${machineText(machine)}\n${versions}\n`);
const results: Record<string, Omit<Result, "table"> & { seconds: number; loadBefore: number }> = {};
const problems: string[] = [];
for (const [name, run] of Object.entries(BENCHMARKS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const [began, loadBefore] = [performance.now(), loadavg()[0] ?? 0];
  try {
    const { figures, table, summary } = await run();
    const seconds = Math.round((performance.now() - began) / 1000);
    results[name] = { figures, summary, seconds, loadBefore };
    console.log(`${name} (${seconds} s, load ${loadBefore.toFixed(1)} before)\n${table}\n${summary}\n`);
  } catch (error) {
    problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    console.log(`${problems.at(-1)}\n`);
  }
}
mkdirSync(ARTEFACTS, { recursive: true });
const report = { at: new Date().toISOString(), machine, versions, results, problems };
writeFileSync(join(ARTEFACTS, "bench.json"), `${JSON.stringify(report, null, 2)}\n`);
// Keep-alive connections of the measured traffic would hold the process.
process.exit(problems.length > 0 ? 1 : 0);

// --- internal ---

async function creation(): Promise<Result> {
  const figures = [...(await benchCreation()), machine.sync];
  return { figures, table: table(figures), summary: judge(figures) };
}

async function traffic(run: () => Promise<Sheet>, judge: (sheet: Sheet) => string): Promise<Result> {
  const sheet = await run();
  return { figures: sheet.rows(), table: sheet.text(), summary: judge(sheet) };
}

function fail(why: string): never {
  console.error(why);
  process.exit(1);
}
