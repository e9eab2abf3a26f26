/**
 * `bun run faults`: real processes, a random workload, random faults, and after each the question whether database and
 * nodes agree within five seconds and every promise is kept. A trial that fails prints its seed and what happened.
 */
import { writeFileSync } from "node:fs";
import type { Cluster, Profile } from "./cluster.ts";
import { forget, startCluster } from "./cluster.ts";
import type { Fault } from "./fault.ts";
import { ALL_FAULTS } from "./faults/all.ts";
import { readOptions, USAGE, type Options } from "./options.ts";
import { createRandom } from "./random.ts";
import { summary, type Result } from "./report.ts";
import { runTrial } from "./trial.ts";

/** A cluster serves so many trials; a failed one is its last. */
const TRIALS_A_CLUSTER = 10;
const TAIL_LINES = 25;
/** All waits of a trial together are shorter. Milliseconds. */
const TRIAL_LIMIT_MS = 180_000;

let cluster: Cluster | null = null;
/** Resolves when the one that is being started is up, or could not be. */
let starting: Promise<unknown> = Promise.resolve();
let isDiskMissed = false;
const options = readOptions(process.argv.slice(2));
process.exitCode = options.help ? help() : await run(options);

// --- internal ---

function help(): number {
  process.stdout.write(`${USAGE}\nFaults: ${ALL_FAULTS.map(({ name }) => name).join(", ")}\n`);
  return 0;
}

async function run({ trials, seed, only, fault, report }: Options): Promise<number> {
  const faults = ALL_FAULTS.filter(({ name }) => fault === null || name === fault);
  if (faults.length === 0) throw new Error(`--fault: there is none called "${fault ?? ""}"`);
  process.on("SIGINT", () => breakOff(130));
  process.on("SIGTERM", () => breakOff(143));
  // Whoever reads the output has gone (`| head`): nothing may be left mounted or running.
  process.stdout.on("error", () => breakOff(141));
  process.stdout.write(`faults: ${trials} trials, --seed ${seed}\n`);
  const results: Result[] = [];
  const indices = only === null ? Array.from({ length: trials }, (_, at) => at) : [only];
  for (const index of indices) results.push(await runOne(seed, index, faults));
  await stopCluster();
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  const passed = results.length - failed;
  process.stdout.write(`\n${summary(results)}\n\n${passed} passed, ${failed} failed\n`);
  if (report !== null) writeFileSync(report, JSON.stringify({ seed, passed, failed }));
  return failed > 0 ? 1 : 0;
}

/** Ends with everything that was started. */
function breakOff(code: number): void {
  void starting.then(() => stopCluster()).finally(() => process.exit(code));
}

async function runOne(seed: number, index: number, faults: readonly Fault[]): Promise<Result> {
  const group = Math.floor(index / TRIALS_A_CLUSTER);
  if (index % TRIALS_A_CLUSTER === 0) await stopCluster();
  const here = (cluster ??= await startOne(seed, group));
  const possible = faults.filter(({ isPossible }) => isPossible?.({ cluster: here }) ?? true);
  const watchdog = setTimeout(() => {
    process.stdout.write(`trial ${index} takes more than ${TRIAL_LIMIT_MS / 1000} s: --seed ${seed} --only ${index}\n`);
    breakOff(1);
  }, TRIAL_LIMIT_MS);
  const { fault, after, timeline } = await runTrial(here, seed + index, possible);
  clearTimeout(watchdog);
  const { failures } = timeline;
  const outcome = failures.length === 0 ? "ok" : "FAIL";
  const late = timeline.lateAnswers();
  process.stdout.write(
    `${String(index).padStart(4)}  seed ${seed + index}  ${fault.padEnd(30)} ${after.toFixed(0).padStart(5)} ms  ${outcome}${late > 0 ? `, ${late} late` : ""}\n`,
  );
  if (failures.length > 0) {
    explain(here, timeline.text(), `--seed ${seed} --only ${index}`);
    await stopCluster(true);
  }
  return { index, fault, after, failures, late };
}

async function startOne(seed: number, group: number): Promise<Cluster> {
  const random = createRandom(seed).fork(`cluster ${group}`);
  const profile: Profile = {
    times: random.chance(0.5) ? "short" : "default",
    shape: random.chance(0.4) ? "wildcard" : "port",
  };
  const start = startCluster(profile, random);
  starting = start.catch(() => undefined);
  const started = await start;
  process.stdout.write(`      cluster: ${profile.times} times, B by ${profile.shape}\n`);
  if (!started.disk.isSmall && !isDiskMissed)
    process.stdout.write("      disk-full is left out: no tmpfs can be mounted here\n");
  isDiskMissed ||= !started.disk.isSmall;
  return started;
}

function explain({ directory, coordinator, nodes }: Cluster, timeline: string, how: string): void {
  const machines = [coordinator, ...nodes.map(({ machine }) => machine)];
  const tails = machines.map((machine) => `--- end of ${machine.name}'s log\n${machine.tail(TAIL_LINES)}`);
  process.stdout.write(`\n${timeline}\n\n${tails.join("\n")}\n\nagain: bun run faults ${how}; logs: ${directory}\n\n`);
}

async function stopCluster(isKept = false): Promise<void> {
  const stopping = cluster;
  cluster = null;
  await stopping?.stop();
  if (stopping !== null && !isKept) forget(stopping);
}
