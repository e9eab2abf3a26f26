/**
 * Two processes of the worker on all cores against HAProxy with two threads there, and each with one on one core: what a
 * second core gives. Load and upstream want the same cores, so on two the figures are small and only their ratios count.
 */
import { checkHttp } from "./checks.ts";
import { CORES } from "./cores.ts";
import { isInstalled, startHaproxy, type Peer } from "./proxies.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { inTurns, withUpstream } from "./stage.ts";
import { verdict } from "./verdict.ts";
import { startWorkerPeer } from "./worker-peer.ts";
import { wrk } from "./wrk.ts";

const COLUMNS = ["worker", "worker ×2", "haproxy", "haproxy ×2"] as const;
const RATIOS = [
  ["worker ×2", "worker"],
  ["haproxy ×2", "haproxy"],
  ["worker ×2", "haproxy ×2"],
] as const;
const ROW = "1 KiB, 128 connections";
const AMOUNT: Record<Size, { rounds: number; seconds: number }> = {
  full: { rounds: 3, seconds: 4 },
  smoke: { rounds: 1, seconds: 1 },
};

export async function benchProcesses(size: Size): Promise<Sheet> {
  const { rounds, seconds } = AMOUNT[size];
  const sheet = new Sheet(COLUMNS, RATIOS);
  await withUpstream(size, async ({ http: upstream }, keep) => {
    const one = await keep(startWorkerPeer({ upstream }));
    const two = await keep(startWorkerPeer({ upstream, processes: 2 }));
    const keys = new Map<Peer, typeof one.keys>([
      [one, one.keys],
      [two, two.keys],
    ]);
    const peers: Peer[] = [one, two];
    if (isInstalled("haproxy", size))
      for (const threads of [1, 2]) peers.push(await keep(startHaproxy("http", upstream, threads)));
    const keysOf = (peer: Peer) => keys.get(peer) ?? one.keys;
    for (const peer of peers) for (const key of keysOf(peer).slice(0, 1)) await checkHttp(peer, key);
    await inTurns(rounds, peers, async (peer) => {
      const figures = await wrk(peer, { path: "/1k", connections: 128, seconds, keys: keysOf(peer) });
      sheet.add(ROW, "req/s", peer.name, figures.perSecond);
      sheet.add(`${ROW}, p99`, "ms", peer.name, figures.p99);
    });
  });
  return sheet;
}

export function judgeProcesses(sheet: Sheet): string {
  const [ours, theirs] = [sheet.ratio(ROW, "worker ×2", "worker"), sheet.ratio(ROW, "haproxy ×2", "haproxy")];
  const measured = `${ours.toFixed(2)} and ${theirs.toFixed(2)}`;
  return [
    verdict("a second process gives the worker what a second thread gives HAProxy, or nearly", ours >= theirs * 0.8, measured),
    `cores: ${CORES.all}; load and upstream have ${CORES.rest} of them, so that a proxy with one core is beside them`,
  ].join("\n"); // prettier-ignore
}
