/**
 * Leases. Who of several coordinators does the periodic work: with clocks that agree exactly one at a time, as a note on
 * paper says; with clocks that are set, somebody soon again. And workers' nodes: a worker is LOST only after real silence.
 */
import { afterAll, test } from "bun:test";
import * as fc from "fast-check";
import { createLease, LEASE_MS } from "../../coordinator/periodic/lease.ts";
import { createObservation } from "../../coordinator/observation.ts";
import { createNodeRevisions } from "../../coordinator/delivery/node-revisions.ts";
import { createWorkerService, type WorkerService } from "../../coordinator/workers/service.ts";
import { getWorker, upsertWorker } from "../../coordinator/store/workers.ts";
import { liveNodes } from "../../coordinator/store/nodes.ts";
import { createCodec } from "../../shared/protocol/envelope.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { memoryMessengers } from "../../shared/redis/messengers.ts";
import { portRegistration } from "../support/rows.ts";
import { API_KEY, coordinatorConfig } from "../support/values.ts";
import { openModelDatabase } from "./database.ts";
import { runs, same, stepsOf, TIMEOUT_MS } from "./runs.ts";
import { read, write } from "../support/store.ts";

const database = openModelDatabase();
const { store } = database;
afterAll(() => database.close());

const START = 1_790_000_000_000;
const HOLDERS = ["h0", "h1", "h2"];
const holder = fc.nat(HOLDERS.length - 1);
/** As coordinators do: every two seconds, and after a pause. */
const ms = fc.constantFrom(0, 1, 2000, LEASE_MS / 2, LEASE_MS - 1, LEASE_MS, 3 * LEASE_MS);

type HolderStep =
  | { kind: "hold" | "release" | "restart"; holder: number; ms: number }
  | { kind: "set"; holder: number; by: number };
const holderSteps = [
  { weight: 20, arbitrary: fc.record({ kind: fc.constant("hold" as const), holder, ms }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("release" as const, "restart" as const), holder, ms }) },
];
const set = fc.record({
  kind: fc.constant("set" as const),
  holder,
  by: fc.constantFrom(-86_400_000, -30_000, -1000, 1000, 30_000, 86_400_000),
});

/** Coordinators that poll, each with a clock that may be wrong and one that nobody sets. */
class Coordinators {
  time = 0;
  readonly ahead = HOLDERS.map(() => 0);
  #names = HOLDERS.map((name) => `${name} 0`);
  #leases = HOLDERS.map((_, at) => this.#start(at));

  async hold(at: number): Promise<boolean> {
    return (await this.#leases[at]?.hold()) === true;
  }

  async release(at: number): Promise<void> {
    await this.#leases[at]?.release();
  }

  /** Killed, and there again under another name. */
  restart(at: number): void {
    this.#names[at] = `${HOLDERS[at]} ${this.time} ${Math.random()}`;
    this.#leases[at] = this.#start(at);
  }

  #start(at: number) {
    const wall = () => START + this.time + (this.ahead[at] ?? 0);
    return createLease(store, "work", this.#names[at] ?? "", wall, () => this.time);
  }
}

test(
  "with clocks that agree one coordinator at a time has the work: 10,000 runs of 50 steps",
  () =>
    fc.assert(
      fc.asyncProperty(stepsOf<HolderStep>(...holderSteps), (steps) =>
        database.trial(async () => {
          const all = new Coordinators();
          /** Whose it is and until when, on paper. */
          let note = { owner: -1, until: 0, renewAt: 0 };
          for (const step of steps) {
            if (step.kind === "nothing" || step.kind === "set") continue;
            const { holder: at, kind } = step;
            all.time += step.ms;
            if (kind === "restart") {
              all.restart(at);
              // Nobody knows that it is gone until its time has run out.
              if (note.owner === at) note = { ...note, owner: -1 };
            }
            if (kind === "release") {
              await all.release(at);
              if (note.owner === at) note = { owner: -1, until: 0, renewAt: 0 };
            }
            if (kind !== "hold") continue;
            const isMine = note.owner === at || note.until <= all.time;
            same(`${HOLDERS[at]} has the work`, await all.hold(at), isMine);
            if (isMine && (note.owner !== at || all.time >= note.renewAt))
              note = { owner: at, until: all.time + LEASE_MS, renewAt: all.time + LEASE_MS / 2 };
          }
        }),
      ),
      runs(10_000),
    ),
  TIMEOUT_MS,
);

test(
  "whatever clocks were set to, somebody has the work two leases later: 10,000 runs of 50 steps",
  () =>
    fc.assert(
      fc.asyncProperty(stepsOf<HolderStep>(...holderSteps, { weight: 5, arbitrary: set }), holder, (steps, dead) =>
        database.trial(async () => {
          const all = new Coordinators();
          for (const step of steps) {
            if (step.kind === "set") all.ahead[step.holder] = (all.ahead[step.holder] ?? 0) + step.by;
            if (step.kind === "nothing" || step.kind === "set") continue;
            all.time += step.ms;
            await all[step.kind](step.holder);
          }
          // One of them says nothing any more.
          const living = HOLDERS.map((_, at) => at).filter((at) => at !== dead);
          for (let turn = 0; turn < (2 * LEASE_MS) / 2000; turn++) {
            all.time += 2000;
            for (const at of living) if (await all.hold(at)) return;
          }
          throw new Error("nobody has the work");
        }),
      ),
      runs(10_000),
    ),
  TIMEOUT_MS,
);

const TIMEOUT = 30_000;
/** A node's lease, and between two checks of a coordinator. */
const [LEASE, CHECK] = [TIMEOUT / 2, 2000];
const NODES = ["n0", "n1"];
const { id } = write(store, (tx) => upsertWorker(tx, portRegistration("w"), "w", START));

type NodeStep = { kind: "beat" | "leave"; node: string } | { kind: "wait"; checks: number } | { kind: "restart" };
const node = fc.constantFrom(...NODES);
const nodeSteps = [
  { weight: 10, arbitrary: fc.record({ kind: fc.constant("beat" as const), node }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("leave" as const), node }) },
  { weight: 15, arbitrary: fc.record({ kind: fc.constant("wait" as const), checks: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
];

test(
  "a worker is LOST after silence that was listened to, and never before: 10,000 runs of 50 steps",
  () =>
    fc.assert(
      fc.asyncProperty(stepsOf<NodeStep>(...nodeSteps), (steps) => database.trial(() => playNodes(steps))),
      runs(10_000),
    ),
  TIMEOUT_MS,
);

/** A coordinator that checks every two seconds, and what it should know on paper. */
async function playNodes(steps: readonly (NodeStep | { kind: "nothing" })[]): Promise<void> {
  let now = START;
  let steady = 0;
  let { service, check } = startService(() => now, () => steady); // prettier-ignore
  let heardSince = now;
  let lastBeat = now;
  let status = "ALIVE";
  const until = new Map<string, number>();
  await service.heartbeat(id, { node_id: "n0", slots: false });
  until.set("n0", now + LEASE);
  const living = () => [...until.values()].filter((end) => end > now).length;
  for (const step of steps) {
    if (step.kind === "beat") {
      // Told to register again, a node does.
      if (status === "TERMINATED") await service.register({ ...portRegistration("w"), node_id: step.node });
      else await service.heartbeat(id, { node_id: step.node, slots: false });
      until.set(step.node, now + LEASE);
      [lastBeat, status] = [now, "ALIVE"];
    }
    if (step.kind === "leave") {
      await service.deregister(id, step.node);
      until.delete(step.node);
      // Leases that ran out while nobody listened say nothing.
      const left = now - heardSince < LEASE ? until.size : living();
      if (left === 0) status = "TERMINATED";
    }
    if (step.kind === "restart") {
      ({ service, check } = startService(() => now, () => steady)); // prettier-ignore
      heardSince = now;
    }
    for (let turn = 0; step.kind === "wait" && turn < step.checks; turn++) {
      [now, steady] = [now + CHECK, steady + CHECK];
      await check();
      if (now - heardSince < TIMEOUT) continue;
      for (const [name, end] of until) if (end <= now) until.delete(name);
      if (status === "ALIVE" && until.size === 0 && now - lastBeat > TIMEOUT) status = "LOST";
    }
    same("status", read(store, (q) => getWorker(q, id))?.status, status);
    same(
      "nodes",
      read(store, (q) => liveNodes(q, id, now)),
      living(),
    );
  }
}

const config = coordinatorConfig(`[proxy_coordinator]\nworker_heartbeat_timeout = ${TIMEOUT / 1000}\n`).values;
const { bus, live } = memoryMessengers(silentLog())(createCodec(API_KEY, false));

/** What starts with a coordinator; `check` is its periodic work. */
function startService(now: () => number, steady: () => number): { service: WorkerService; check: () => Promise<void> } {
  const observation = createObservation(now, steady);
  const deps = { config, database: store, bus, live, log: silentLog(), now, newId: () => crypto.randomUUID() };
  const service = createWorkerService(deps, observation, createNodeRevisions(deps), {
    told: () => Promise.resolve(),
    left: () => undefined,
  });
  return {
    service,
    async check() {
      observation.check();
      await service.sweep();
    },
  };
}
