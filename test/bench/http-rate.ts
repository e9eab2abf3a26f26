/** Small answers: requests per second, latency and processor time of each proxy at 64 and 256 connections. */
import { checkHttp } from "./checks.ts";
import { costOf } from "./cost.ts";
import type { Peer } from "./proxies.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { HTTP_PEERS, inTurns, RATIOS, withHttpPeers, type Stage } from "./stage.ts";
import { against, OTHERS_NOTE, verdict } from "./verdict.ts";
import { wrk, type WrkFigures } from "./wrk.ts";

/** Seconds are those of one run; without a warm-up it is 0. */
const AMOUNT: Record<Size, { rounds: number; connections: readonly number[]; seconds: number; warmUp: number }> = {
  full: { rounds: 2, connections: [64, 256], seconds: 4, warmUp: 1 },
  smoke: { rounds: 1, connections: [64], seconds: 1, warmUp: 0 },
};

/** Runs it on all proxies in turn. */
export async function benchHttp(size: Size): Promise<Sheet> {
  const { rounds, connections: counts, seconds, warmUp } = AMOUNT[size];
  const sheet = new Sheet(HTTP_PEERS, RATIOS);
  await withHttpPeers(size, async ({ peers, key }) => {
    for (const peer of peers) await checkHttp(peer, key);
    for (const connections of counts)
      await inTurns(rounds, peers, async (peer, round) => {
        if (round === 0 && warmUp > 0) await run(peer, key, connections, warmUp);
        note(sheet, peer, connections, await run(peer, key, connections, seconds));
      });
    for (const { name, pid } of peers)
      if (pid !== null) sheet.add("memory afterwards", "MiB", name, costOf(pid).rss / 2 ** 20);
  });
  return sheet;
}

export function judgeHttp(sheet: Sheet): string {
  const haproxy = against(sheet, rowOf(64), "haproxy", 0.5);
  const chp = against(sheet, rowOf(64), "chp", 4);
  return [
    verdict("half of HAProxy's requests per second at 64", haproxy.reached, haproxy.measured),
    verdict("four times configurable-http-proxy at 64", chp.reached, chp.measured),
    "busy: the part of its core that the proxy used; below 1 the load or the upstream was the limit, so compare CPU too",
    OTHERS_NOTE,
  ].join("\n");
}

// --- internal ---

function rowOf(connections: number): string {
  return `1 KiB, ${connections} connections`;
}

function run(peer: Peer, key: Stage["key"], connections: number, seconds: number): Promise<WrkFigures> {
  return wrk(peer, { path: "/1k", connections, seconds, keys: [key] });
}

function note(sheet: Sheet, { name }: Peer, connections: number, figures: WrkFigures): void {
  const row = rowOf(connections);
  sheet.add(row, "req/s", name, figures.perSecond);
  sheet.add(`${row}, p50`, "ms", name, figures.p50);
  sheet.add(`${row}, p99`, "ms", name, figures.p99);
  if (figures.cpuEach !== null) sheet.add(`${row}, CPU`, "µs/req", name, figures.cpuEach * 1e6);
  if (figures.busy !== null) sheet.add(`${row}, busy`, "cores", name, figures.busy);
  if (figures.others !== null) sheet.add(`${row}, others`, "cores", name, figures.others);
}
