/**
 * `bun run bench`: runs the benchmarks in turn, prints their figures with the machine's description, and writes both
 * to test/artefacts/bench.json. Ends with 1 when an answer was wrong, with 0 whatever the speed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { benchCreation, judge } from "./creation.ts";
import { describeMachine, machineText } from "./machine.ts";
import { table, type Figure } from "./measure.ts";

interface Benchmark {
  name: string;
  run: () => Promise<Figure[]>;
  /** What the figures mean, in words. */
  judge: (figures: readonly Figure[]) => string;
}

const BENCHMARKS: readonly Benchmark[] = [{ name: "creation", run: benchCreation, judge }];
const ARTEFACTS = join(import.meta.dir, "../artefacts");

const machine = describeMachine();
console.log(`${machineText(machine)}\n`);
const results: Record<string, { figures: Figure[]; summary: string }> = {};
for (const benchmark of BENCHMARKS) {
  const figures = [...(await benchmark.run()), machine.sync];
  const summary = benchmark.judge(figures);
  results[benchmark.name] = { figures, summary };
  console.log(`${benchmark.name}\n${table(figures)}\n${summary}\n`);
}
mkdirSync(ARTEFACTS, { recursive: true });
const report = { at: new Date().toISOString(), machine, results };
writeFileSync(join(ARTEFACTS, "bench.json"), `${JSON.stringify(report, null, 2)}\n`);
// Keep-alive connections of the measured traffic would hold the process.
process.exit(0);
