/**
 * `bun run faults`: real processes, a random workload, random faults, and after each the question whether database and
 * nodes agree within five seconds and every promise is kept. A trial that fails prints its seed and what happened.
 */
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

let cluster: Cluster | null = null;
const options = readOptions(process.argv.slice(2));
process.exitCode = options.help ? help() : await run(options);

// --- internal ---

function help(): number {
  process.stdout.write(`${USAGE}\nFaults: ${ALL_FAULTS.map(({ name }) => name).join(", ")}\n`);
  return 0;
}

async function run({ trials, seed, only, fault }: Options): Promise<number> {
  const faults = ALL_FAULTS.filter(({ name }) => fault === null || name === fault);
  if (faults.length === 0) throw new Error(`--fault: there is none called "${fault ?? ""}"`);
  process.on("SIGINT", () => void stopCluster().then(() => process.exit(130)));
  process.on("SIGTERM", () => void stopCluster().then(() => process.exit(143)));
  process.stdout.write(`faults: ${trials} trials, --seed ${seed}\n`);
  const results: Result[] = [];
  const indices = only === null ? Array.from({ length: trials }, (_, at) => at) : [only];
  for (const index of indices) results.push(await runOne(seed, index, faults));
  await stopCluster();
  const failed = results.filter(({ failures }) => failures.length > 0);
  process.stdout.write(`\n${summary(results)}\n\n${results.length - failed.length} passed, ${failed.length} failed\n`);
  return failed.length > 0 ? 1 : 0;
}

async function runOne(seed: number, index: number, faults: readonly Fault[]): Promise<Result> {
  const group = Math.floor(index / TRIALS_A_CLUSTER);
  if (index % TRIALS_A_CLUSTER === 0) await stopCluster();
  const here = (cluster ??= await startOne(seed, group));
  const possible = faults.filter(({ isPossible }) => isPossible?.({ cluster: here }) ?? true);
  const { fault, after, timeline } = await runTrial(here, seed + index, possible);
  const { failures } = timeline;
  const outcome = failures.length === 0 ? "ok" : "FAIL";
  process.stdout.write(
    `${String(index).padStart(4)}  seed ${seed + index}  ${fault.padEnd(30)} ${after.toFixed(0).padStart(5)} ms  ${outcome}\n`,
  );
  if (failures.length > 0) {
    explain(here, timeline.text(), `--seed ${seed} --only ${index}`);
    await stopCluster(true);
  }
  return { index, fault, after, failures };
}

async function startOne(seed: number, group: number): Promise<Cluster> {
  const random = createRandom(seed).fork(`cluster ${group}`);
  const profile: Profile = {
    times: random.chance(0.5) ? "short" : "default",
    shape: random.chance(0.4) ? "wildcard" : "port",
  };
  const started = await startCluster(profile, random);
  process.stdout.write(`      cluster: ${profile.times} times, B by ${profile.shape}\n`);
  if (!started.disk.isSmall) process.stdout.write("      disk-full is left out: no tmpfs can be mounted here\n");
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
