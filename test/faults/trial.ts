/**
 * One trial: tenants settle in, a fault happens while they go on, and when it is over everything has five seconds to be
 * as it should. All of its choices come from its seed; it begins and ends with empty tables.
 */
import { createCalls } from "./calls.ts";
import type { Cluster } from "./cluster.ts";
import { AUTHORITIES } from "./cluster.ts";
import { converge, healthOf } from "./convergence.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { checkInvariants } from "./invariants.ts";
import { createKernels } from "./kernels.ts";
import type { App } from "./model.ts";
import { leave, settle, settleIn } from "./seasons.ts";
import { createRandom } from "./random.ts";
import { openSurvivor, type Survivor } from "./survivors.ts";
import { close, newTenant, open } from "./tenants.ts";
import { createTimeline, type Timeline } from "./timeline.ts";
import { until } from "../support/until.ts";
import { createWiretap } from "./wiretap.ts";
import { startWorkload } from "./workload.ts";
import { owed } from "../support/owed.ts";

export interface Verdict {
  fault: string;
  /** From when all processes answered after the fault until nodes and database agreed. Milliseconds. */
  after: number;
  timeline: Timeline;
}

/** The promise that is tested: five seconds on a machine that has nothing else to do. Milliseconds. */
const limit = () => owed(5000);
/** For a process to start on a busy machine. Milliseconds. */
const START_MS = 60_000;

export async function runTrial(cluster: Cluster, seed: number, faults: readonly Fault[]): Promise<Verdict> {
  const random = createRandom(seed);
  const timeline = createTimeline();
  const kernels = createKernels();
  const wiretap = createWiretap(cluster.redis.port);
  const stage: Tapped = {
    cluster,
    calls: createCalls(cluster),
    kernels,
    timeline,
    random,
    platform: (text) => wiretap.announce(text),
    apps: [],
    services: [],
    ghosts: [],
    wiretap,
  };
  const fault = random.weighted(faults);
  const verdict: Verdict = { fault: fault.name, after: 0, timeline };
  timeline.note("trial", `seed ${seed}, ${fault.name}, ${JSON.stringify(cluster.profile)}`);
  const survivors: Survivor[] = [];
  try {
    await settleIn(stage);
    survivors.push(...(await openSurvivors(stage)));
    verdict.after = await goThrough(stage, fault, survivors);
  } catch (error) {
    timeline.broken(`the trial broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    for (const survivor of survivors) survivor.close();
    wiretap.stop();
    await kernels.stop();
  }
  return verdict;
}

// --- internal ---

type Tapped = Omit<FaultContext, "silence">;

/** The fault and what comes after it. Gives how long the nodes took to agree with the database. */
async function goThrough(stage: Tapped, fault: Fault, survivors: readonly Survivor[]): Promise<number> {
  const { cluster, timeline } = stage;
  const workload = startWorkload(stage);
  await fault.run({ ...stage, random: stage.random.fork("fault"), silence: workload.silence });
  // A process that was started again takes seconds to be there on a busy machine; its time begins then.
  await until(() => everybodyAnswers(cluster), START_MS, "all processes to answer");
  const ended = performance.now();
  const working = workload.stop();
  const first = await converge(cluster, ended, limit());
  if (typeof first === "string") timeline.broken(`${limit()} ms after the fault: ${first}`);
  else timeline.note("trial", `tables agree ${first.after.toFixed(0)} ms after the fault`);
  await working;
  timeline.note("trial", "every call has an outcome");
  const before = await converge(cluster, performance.now(), limit());
  if (typeof before === "string") timeline.broken(`when every call had its outcome: ${before}`);
  else await checkInvariants(stage, before.stored, false);
  await settle(stage, performance.now() + limit());
  await proveService(stage, performance.now() + limit());
  const last = await converge(cluster, performance.now(), limit());
  if (typeof last === "string") timeline.broken(`when all was done again: ${last}`);
  else await checkInvariants(stage, last.stored, true);
  await Promise.all(survivors.map((survivor) => proveSurvival(survivor, timeline)));
  await leave(stage);
  return typeof first === "string" ? limit() : first.after;
}

async function everybodyAnswers({ baseUrl, nodes }: Cluster): Promise<boolean> {
  const healths = await Promise.all([healthOf({ api: baseUrl }), ...nodes.map(healthOf)]);
  return !healths.includes(null);
}

/** The apps of each worker that are kept get a WebSocket and a stream, each at one of its nodes. */
async function openSurvivors(stage: Tapped): Promise<Survivor[]> {
  const kept = stage.apps.filter((app) => app.isKept);
  const wanted = kept.flatMap((app) =>
    stage.cluster.nodes.filter(({ authority }) => authority === app.slot?.authority).map((node) => ({ app, node })),
  );
  const opened = await Promise.all(
    wanted.flatMap(({ app, node }) => [
      openSurvivor(stage, app, node, "websocket"),
      openSurvivor(stage, app, node, "stream"),
    ]),
  );
  if (opened.includes(null)) stage.timeline.broken("a connection can't be opened before the fault");
  return opened.filter((one) => one !== null);
}

async function proveSurvival({ what, node, generation, proveAlive }: Survivor, timeline: Timeline): Promise<void> {
  // It ran over a process that is gone.
  if (node.machine.generation !== generation) return;
  await proveAlive(owed(2000)).catch((error: unknown) =>
    timeline.broken(`${what} was cut without need: ${String(error)}`),
  );
}

/** Somebody new is served at each worker. */
async function proveService(stage: Tapped, until: number): Promise<void> {
  for (const domain of AUTHORITIES) {
    const app = newTenant(stage, stage.random, domain);
    const [kernel] = app.kernels;
    if (kernel === undefined) continue;
    while (!(await open(stage, app, kernel, (nodes) => stage.random.pick(nodes)))) {
      if (performance.now() > until) return stage.timeline.broken(`nobody new is served at ${domain} after the fault`);
      // Perhaps all ports are taken, also by apps that came from a worker that was lost.
      const isHere = (one: App) => (one.slot?.authority ?? one.domain) === domain;
      const leaving = stage.apps.find((one) => one.existence === "present" && !one.isKept && isHere(one));
      if (leaving !== undefined) await close(stage, leaving, stage.random);
      await Bun.sleep(100);
    }
  }
}
