/**
 * What one traffic benchmark runs on: the upstream and the proxies before it, started afresh and stopped at the end
 * whatever happens. Gives the order of measurements too.
 */
import { join } from "node:path";
import { beside, CORES, missingPrograms, runBeside, startOn } from "./cores.ts";
import { direct, startChp, startHaproxy, startNginx, type Peer, type Ports } from "./proxies.ts";
import { startWorkerPeer, type WorkerPeer } from "./worker-peer.ts";

/** Columns of the tables. */
export const HTTP_PEERS = ["direct", "worker", "haproxy", "nginx", "chp"] as const;
export const RATIOS = [
  ["worker", "haproxy"],
  ["worker", "chp"],
] as const;

export interface Stage {
  peers: Peer[];
  /** What every request carries, to whatever peer: the same load for all. */
  key: { host: string; cookie: string };
}

/** All that speak HTTP, before one upstream. */
export async function withHttpPeers<T>(work: (stage: Stage) => Promise<T>): Promise<T> {
  return withUpstream(async ({ http }, keep) => {
    const worker = await keep(startWorkerPeer({ upstream: http }));
    const others = [await keep(startHaproxy("http", http)), await keep(startNginx(http)), await keep(startChp(http))];
    return work({ peers: [direct(http), worker, ...others], key: keyOf(worker) });
  });
}

/** Runs `work` with an upstream. What it hands to `keep` is stopped afterwards. */
export async function withUpstream<T>(
  work: (ports: Ports, keep: <P extends Peer>(starting: Promise<P>) => Promise<P>) => Promise<T>,
): Promise<T> {
  const missing = missingPrograms();
  if (missing !== null) throw new Error(missing);
  return beside(async () => {
    const upstream = startOn(CORES.rest, [process.execPath, join(import.meta.dir, "upstream.ts")]);
    const started: Peer[] = [];
    try {
      const ports = JSON.parse(await upstream.said('"http"')) as Ports;
      return await work(ports, async (starting) => {
        const peer = await starting;
        started.push(peer);
        return peer;
      });
    } finally {
      await Promise.all(started.map((peer) => peer.stop()));
      await upstream.stop();
    }
  });
}

/** A B C, A B C: what disturbs the machine for a while disturbs everybody. */
export async function inTurns<P extends { name: string }>(
  rounds: number,
  peers: readonly P[],
  work: (peer: P, round: number) => Promise<void>,
) {
  for (let round = 0; round < rounds; round++) for (const peer of peers) await about(peer.name, work(peer, round));
}

/** Names whom a failure is about. */
export async function about<T>(name: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Runs a load of load.ts in a process of its own. */
export async function load<T>(kind: string, options: Record<string, unknown>): Promise<T> {
  const command = [process.execPath, join(import.meta.dir, "load.ts"), kind, JSON.stringify(options)];
  return JSON.parse(await runBeside(command, 60_000)) as T;
}

// --- internal ---

function keyOf({ keys: [key] }: WorkerPeer): Stage["key"] {
  if (key === undefined) throw new Error("the worker was given no circuit");
  return key;
}
