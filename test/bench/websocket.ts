/** WebSockets through each proxy: round trips, one-way messages, and what an idle one costs. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/until.ts";
import { checkHttp } from "./checks.ts";
import { CORES, maxPairs, startOn } from "./cores.ts";
import { costOf } from "./cost.ts";
import { WARM_UP_MS } from "./load-websocket.ts";
import type { Figure } from "./measure.ts";
import type { Peer } from "./proxies.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { about, HTTP_PEERS, inTurns, load, RATIOS, withHttpPeers, type Stage } from "./stage.ts";

const AMOUNT = {
  /** Idle ones are opened from 127.0.0.1; more need more of its ports. */
  full: { rounds: 2, seconds: 1, idle: 10_000 },
  smoke: { rounds: 1, seconds: 0.2, idle: 20 },
} satisfies Record<Size, object>;
/** Connections that a proxy may keep for other requests, and that the system's limit shall leave. */
const SPARE = 200;

export async function benchWebSocket(size: Size): Promise<Sheet> {
  const { rounds, seconds } = AMOUNT[size];
  const sheet = new Sheet(HTTP_PEERS, RATIOS);
  await withHttpPeers(size, async ({ peers, key }) => {
    for (const peer of peers) await checkHttp(peer, key);
    // First, while the processes are fresh: memory that other loads have left behind would be used again.
    for (const peer of peers) if (peer.pid !== null) await about(peer.name, idle(sheet, peer, key, idleCount(size)));
    await inTurns(rounds, peers, async (peer, round) => {
      if (round === 0) await echo(sheet, peer, { ...key, connections: 1, seconds });
      await echo(sheet, peer, { ...key, connections: 64, seconds });
      await flood(sheet, peer, { ...key, connections: 4, seconds });
    });
  });
  return sheet;
}

export function judgeWebSocket(): string {
  return `messages are texts of 64 bytes; one-way: the app sends on 4 connections; ${idleCount("full")} idle ones`;
}

// --- internal ---

type Talk = Stage["key"] & { connections: number; seconds: number };

/** The system's limit of open files may allow fewer. */
function idleCount(size: Size): number {
  return Math.min(AMOUNT[size].idle, maxPairs() - SPARE);
}

async function idle(sheet: Sheet, peer: Peer, key: Stage["key"], connections: number): Promise<void> {
  if (peer.pid === null) return;
  const { pid } = peer;
  const [before, files] = [costOf(pid), openFiles(pid)];
  const options = JSON.stringify({ port: peer.port, ...key, connections, seconds: 0 });
  const client = startOn(CORES.rest, [process.execPath, join(import.meta.dir, "load.ts"), "idle", options]);
  try {
    const { opened } = JSON.parse(await client.said('"opened"')) as { opened: number };
    if (opened !== connections) throw new Error(`${opened} WebSockets were opened; wanted ${connections}`);
    const after = costOf(pid);
    sheet.add("an idle WebSocket", "bytes", peer.name, (after.rss - before.rss) / connections);
    sheet.add("opening a WebSocket, CPU", "µs", peer.name, ((after.cpu - before.cpu) * 1e6) / connections);
  } finally {
    await client.stop("SIGKILL");
    // The next proxy's would come on top at the upstream.
    await until(() => openFiles(pid) < files + SPARE, 20_000, `${peer.name} closes its idle connections`);
  }
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

async function echo(sheet: Sheet, { name, port, pid }: Peer, talk: Talk): Promise<void> {
  const { connections, seconds } = talk;
  const before = pid === null ? null : costOf(pid);
  const figure = await load<Figure>("echo", { port, ...talk });
  const row = `WebSocket echo, ${connections} connection${connections === 1 ? "" : "s"}`;
  sheet.add(row, "trips/s", name, figure.perSecond);
  sheet.add(`${row}, p50`, "ms", name, figure.p50);
  sheet.add(`${row}, p99`, "ms", name, figure.p99);
  if (pid === null || before === null || connections === 1) return;
  // The warm-up is in it, with as many a second.
  const trips = figure.perSecond * (seconds + WARM_UP_MS / 1000);
  sheet.add(`${row}, CPU`, "µs/trip", name, ((costOf(pid).cpu - before.cpu) * 1e6) / trips);
}

async function flood(sheet: Sheet, { name, port }: Peer, talk: Talk): Promise<void> {
  const { perSecond } = await load<{ perSecond: number }>("flood", { port, ...talk });
  sheet.add("WebSocket messages, one way", "msg/s", name, perSecond);
}
