/**
 * `bun run bench [--smoke] [name…]`: runs the named benchmarks, or all, in turn; prints their tables with the machine's
 * description, and writes both to test/artefacts/bench.json. Ends with 1 when an answer was wrong, with 0 whatever the
 * speed. With `--smoke` it only says of each whether it works: its loads are too small for figures, so there are none.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { missingPrograms } from "./cores.ts";
import { describeMachine, machineText } from "./machine.ts";
import { PARTS, type Part, type Result } from "./parts.ts";
import { programVersions } from "./versions.ts";

const ARTEFACTS = join(import.meta.dir, "../artefacts");

const options = process.argv.slice(2);
if (options.includes("--help")) {
  console.log(`bun run bench [--smoke] [name…]; the names: ${Object.keys(PARTS).join(", ")}`);
  process.exit(0);
}
const names = options.filter((option) => option !== "--smoke");
const unknown = names.filter((name) => PARTS[name] === undefined);
if (unknown.length > 0) fail(`no benchmark ${unknown.join(", ")}; there are ${Object.keys(PARTS).join(", ")}`);
const wanted = Object.entries(PARTS).filter(([name]) => names.length === 0 || names.includes(name));

const problems = options.includes("--smoke") ? await smoke(wanted) : await measureAll(wanted);
// Keep-alive connections of the measured traffic would hold the process.
process.exit(problems.length > 0 ? 1 : 0);

// --- internal ---

/** One line a part. Gives what did not work. */
async function smoke(parts: readonly (readonly [string, Part])[]): Promise<string[]> {
  const problems: string[] = [];
  for (const [name, { needs, run }] of parts) {
    const missing = missingPrograms(needs);
    if (missing !== null) {
      console.log(`${name}: skipped. ${missing}`);
      continue;
    }
    try {
      await run("smoke");
      console.log(`${name}: works`);
    } catch (error) {
      problems.push(`${name}: ${told(error)}`);
      console.log(problems.at(-1));
    }
  }
  return problems;
}

/** Prints figures and keeps them. Gives what did not work. */
async function measureAll(parts: readonly (readonly [string, Part])[]): Promise<string[]> {
  const missing = parts.some(([, { hasPeers }]) => hasPeers) ? missingPrograms() : null;
  if (missing !== null) fail(missing);
  const machine = describeMachine();
  const versions = programVersions();
  console.log(`${machineText(machine)}\n${versions}\n`);
  const results: Record<string, Omit<Result, "table"> & { seconds: number; loadBefore: number }> = {};
  const problems: string[] = [];
  for (const [name, { run }] of parts) {
    const [began, loadBefore] = [performance.now(), loadavg()[0] ?? 0];
    try {
      const { figures, table, summary } = await run("full");
      const seconds = Math.round((performance.now() - began) / 1000);
      results[name] = { figures, summary, seconds, loadBefore };
      console.log(`${name} (${seconds} s, load ${loadBefore.toFixed(1)} before)\n${table}\n${summary}\n`);
    } catch (error) {
      problems.push(`${name}: ${told(error)}`);
      console.log(`${problems.at(-1)}\n`);
    }
  }
  mkdirSync(ARTEFACTS, { recursive: true });
  const report = { at: new Date().toISOString(), machine, versions, results, problems };
  writeFileSync(join(ARTEFACTS, "bench.json"), `${JSON.stringify(report, null, 2)}\n`);
  return problems;
}

function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function fail(why: string): never {
  console.error(why);
  process.exit(1);
}
