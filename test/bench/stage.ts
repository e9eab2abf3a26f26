/**
 * What one traffic benchmark runs on: the upstream and the proxies before it, started afresh and stopped at the end
 * whatever happens. Gives the order of measurements too.
 */
import { join } from "node:path";
import { beside, CORES, runBeside, startOn } from "./cores.ts";
import {
  direct,
  isInstalled,
  startCaddy,
  startChp,
  startHaproxy,
  startNginx,
  type Peer,
  type Ports,
} from "./proxies.ts";
import { GIB } from "./sample.ts";
import type { Size } from "./size.ts";
import { startWorkerPeer, type WorkerPeer } from "./worker-peer.ts";

/** Columns of the tables. */
export const HTTP_PEERS = ["direct", "worker", "sockets", "haproxy", "nginx", "chp", "caddy"] as const;
export const RATIOS = [
  ["worker", "haproxy"],
  ["sockets", "haproxy"],
  ["sockets", "worker"],
  ["worker", "chp"],
] as const;

/** Sixteen times what a worker may hold back. */
const SMOKE_BYTES = 16 * 2 ** 20;

export interface Stage {
  peers: Peer[];
  /** What every request carries, to whatever peer: the same load for all. */
  key: { host: string; cookie: string };
}

/** All that speak HTTP, before one upstream: the worker with each of its engines too. */
export async function withHttpPeers<T>(size: Size, work: (stage: Stage) => Promise<T>): Promise<T> {
  return withUpstream(size, async ({ http }, keep) => {
    const worker = await keep(startWorkerPeer({ upstream: http }));
    const peers: Peer[] = [direct(http), worker, await keep(startWorkerPeer({ upstream: http, engine: "sockets" }))];
    if (isInstalled("haproxy", size)) peers.push(await keep(startHaproxy("http", http)));
    if (isInstalled("nginx", size)) peers.push(await keep(startNginx(http)));
    if (isInstalled("chp", size)) peers.push(await keep(startChp(http)));
    if (isInstalled("caddy", size)) peers.push(await keep(startCaddy(http)));
    return work({ peers, key: keyOf(worker) });
  });
}

/** Runs `work` with an upstream. What it hands to `keep` is stopped afterwards. */
export async function withUpstream<T>(
  size: Size,
  work: (ports: Ports, keep: <P extends Peer>(starting: Promise<P>) => Promise<P>) => Promise<T>,
): Promise<T> {
  return beside(async () => {
    const upstream = startOn(CORES.rest, [
      process.execPath,
      join(import.meta.dir, "upstream.ts"),
      String(bigBytes(size)),
    ]);
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

/** What the upstream gives and takes as a big transfer: a GiB for figures. */
export function bigBytes(size: Size): number {
  return size === "full" ? GIB : SMOKE_BYTES;
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
