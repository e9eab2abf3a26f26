/**
 * One proxy under connections that stall, and under requests, connections and aborts by the ten thousand: `bun stalled-run.ts
 * OPTIONS` in a network of its own, where OPTIONS is JSON. Prints what the proxy took and kept, as JSON. Started by `runStalled`.
 */
import { readdirSync } from "node:fs";
import { foundInOwnNetwork } from "../support/own-network.ts";
import { until } from "../support/until.ts";
import { beside } from "./cores.ts";
import { costOf, resetPeak } from "./cost.ts";
import { churn, CHURNS, type Churn, type ChurnOptions } from "./load-churn.ts";
import { openStalled, STALLS, type Stall } from "./load-stalled.ts";
import { startHaproxy, type Peer } from "./proxies.ts";
import { startStalledApp, type StalledApp } from "./stalled-app.ts";
import { startWorkerPeer } from "./worker-peer.ts";

export const PROXIES = ["serve", "sockets", "haproxy"] as const;
export type Proxy = (typeof PROXIES)[number];

export interface RunOptions {
  proxy: Proxy;
  /** So many at once of each kind. */
  stalled: number;
  /** So many one after the other, of each kind; a fifth of it warms up. */
  churned: Record<Churn, number>;
  /** So long memory that is free already may take to be given back. Milliseconds. */
  patienceMs: number;
  seed: number;
}

export interface StallFigures {
  /** Bytes of memory for a connection through the proxy, at most and when it has come to rest. */
  most: number;
  held: number;
  /** Bytes and files that are left when all have gone, over what was there before. */
  left: number;
  files: number;
}

export interface ChurnFigures {
  /** Bytes and files over what a fifth of it left. */
  grown: number;
  files: number;
  seconds: number;
}

export interface RunFigures {
  stalls: Record<Stall, StallFigures>;
  churns: Record<Churn, ChurnFigures>;
}

/** Memory that comes and goes in a process that serves nothing but a request now and then. */
const NEAR = 2 * 2 ** 20;
/** Stalled connections have filled what they fill when it has grown no more for so long; with slow readers it may take several. Milliseconds. */
const FULL_MS = 8000;
const FULL_WITHIN_MS = 120_000;
/** One that takes so much for a connection gathers without bound: no more is waited for, or the machine would have none left. */
const EXCESS = 8 * 2 ** 20;
/** Memory that was no less so many times, a second apart, has come to rest. */
const QUIET_LOOKS = 5;
/** A proxy compiles, once, what it has run often. */
const WARM_UP = 3000;

/** Runs it in a network of its own; `ms` is its limit. */
export async function runStalled(options: RunOptions, ms: number): Promise<RunFigures> {
  return (await foundInOwnNetwork(import.meta.path, options, ms, options.proxy)) as RunFigures;
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? "{}") as RunOptions;
  console.log(JSON.stringify(await beside(() => run(options))));
  process.exit(0); // whatever is still open
}

// --- internal ---

async function run(options: RunOptions): Promise<RunFigures> {
  const stalls: Partial<RunFigures["stalls"]> = {};
  for (const stall of STALLS) stalls[stall] = await withProxy(options, (at) => measureStall(at, stall));
  const churns: Partial<RunFigures["churns"]> = {};
  await withProxy(options, async (at) => {
    for (const kind of CHURNS) churns[kind] = await measureChurn(at, kind);
  });
  return { stalls, churns } as RunFigures;
}

interface At {
  options: RunOptions;
  app: StalledApp;
  pid: number;
  to: Pick<ChurnOptions, "port" | "host" | "cookie">;
}

/** Started afresh: memory that an earlier load has left behind would be used again. */
async function withProxy<T>(options: RunOptions, work: (at: At) => Promise<T>): Promise<T> {
  const app = startStalledApp();
  const [peer, key] = await start(options.proxy, app.port);
  try {
    return await work({ options, app, pid: peer.pid ?? 0, to: { port: peer.port, ...key } });
  } finally {
    await peer.stop();
    app.stop();
  }
}

async function start(proxy: Proxy, upstream: number): Promise<[peer: Peer, key: { host: string; cookie: string }]> {
  // As long as what a worker's clients send.
  if (proxy === "haproxy") return [await startHaproxy("http", upstream), { host: "bench", cookie: "x".repeat(100) }];
  const worker = await startWorkerPeer({ upstream, engine: proxy });
  return [worker, worker.keys[0] ?? { host: "", cookie: "" }];
}

async function measureStall(at: At, stall: Stall): Promise<StallFigures> {
  const { pid, to, options } = at;
  const { stalled: connections, seed } = options;
  await churn({ ...to, churn: "requests", count: Math.min(WARM_UP, 2 * options.churned.requests), seed });
  const before = await atRest(at);
  resetPeak(pid);
  const stalled = await openStalled({ ...to, connections, stall });
  await full(at, before.memory + connections * EXCESS);
  const { peak, rss } = costOf(pid);
  stalled.end();
  const { memory, files } = await released(at, before);
  const each = (bytes: number) => (bytes - before.memory) / connections;
  return { most: each(peak), held: each(rss), left: memory - before.memory, files: files - before.files };
}

async function full({ pid, options }: At, excess: number): Promise<void> {
  const wait = Math.min(FULL_MS, options.patienceMs);
  let [most, since] = [0, performance.now()];
  const isFull = () => {
    const { peak } = costOf(pid);
    if (peak > most + NEAR / 4) [most, since] = [peak, performance.now()];
    return peak > excess || performance.now() - since > wait;
  };
  for (const end = performance.now() + FULL_WITHIN_MS; !isFull() && performance.now() < end;) await Bun.sleep(100);
}

async function measureChurn(at: At, kind: Churn): Promise<ChurnFigures> {
  const { churned, seed } = at.options;
  const what = { ...at.to, churn: kind, count: churned[kind] };
  await churn({ ...what, count: what.count / 5, seed });
  const before = await atRest(at);
  const began = performance.now();
  await churn({ ...what, seed: seed + 1 });
  const seconds = (performance.now() - began) / 1000;
  const { memory, files } = await released(at, before);
  return { grown: memory - before.memory, files: files - before.files, seconds };
}

interface Rest {
  memory: number;
  files: number;
}

/** When nothing is under way, and for some seconds memory was no less. */
async function atRest(at: At): Promise<Rest> {
  let least = look(at);
  const looks = Math.min(QUIET_LOOKS, at.options.patienceMs / 1000);
  for (let quiet = 0; quiet < looks; quiet++) {
    await nudge(at);
    const now = look(at);
    if (now.memory < least.memory - NEAR / 4) quiet = 0;
    if (now.memory < least.memory) least = now;
  }
  return { ...least, files: look(at).files };
}

/** When it is as before, or its patience is over. Gives the least memory there was. */
async function released(at: At, before: Rest): Promise<Rest> {
  let least = look(at);
  for (const end = performance.now() + at.options.patienceMs; performance.now() < end;) {
    if (least.memory <= before.memory + NEAR && look(at).files <= before.files) break;
    await nudge(at);
    least = { memory: Math.min(least.memory, look(at).memory), files: look(at).files };
  }
  return least;
}

function look({ pid }: At): Rest {
  return { memory: costOf(pid).rss, files: readdirSync(`/proc/${pid}/fd`).length };
}

/** A second of a proxy that serves a little: one that does nothing collects nothing. Then it has no connection left. */
async function nudge({ app, to }: At): Promise<void> {
  await churn({ ...to, churn: "requests", count: 200, seed: 0 });
  app.endAll();
  await until(() => app.open() === 0, 20_000, "the app's connections to end");
  await Bun.sleep(1000);
}
