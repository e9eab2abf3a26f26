/** One GiB through each proxy in both directions: MB/s, and the memory that the proxy takes for it. */
import { checkHttp } from "./checks.ts";
import { CORES } from "./cores.ts";
import { costOf, resetPeak, workedSeconds } from "./cost.ts";
import type { Peer } from "./proxies.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { bigBytes, HTTP_PEERS, inTurns, load, RATIOS, withHttpPeers, type Stage } from "./stage.ts";

const ROUNDS = 1;
const DIRECTIONS = ["download", "upload"] as const;
const MIB = 2 ** 20;

export async function benchTransfer(size: Size): Promise<Sheet> {
  const bytes = bigBytes(size);
  const sheet = new Sheet(HTTP_PEERS, RATIOS);
  await withHttpPeers(size, async ({ peers, key }) => {
    for (const peer of peers) await checkHttp(peer, key);
    // The first reader of the upstream's file waits until the kernel has made its pages.
    for (const { name, port } of peers)
      if (name === "direct") await load("bytes", { port, direction: "download", bytes, http: key });
    for (const direction of DIRECTIONS)
      await inTurns(ROUNDS, peers, (peer) => transfer(sheet, peer, { direction, bytes, http: { ...key } }));
  });
  return sheet;
}

export function judgeTransfer(sheet: Sheet): string {
  const grown = DIRECTIONS.map((direction) => sheet.value(`${direction} of 1 GiB, memory grows by`, "worker"));
  return `the worker's memory grows by ${grown.map((mib) => mib.toFixed(0)).join(" and ")} MiB (limit 64 MiB each)`;
}

export interface Load {
  direction: (typeof DIRECTIONS)[number];
  bytes: number;
  /** Null for plain TCP. */
  http: Stage["key"] | null;
}

/** As many bytes through one peer. Rows are named by the full amount. */
export async function transfer(
  sheet: Sheet,
  { name, port, pid }: Peer,
  { direction, bytes, http }: Load,
): Promise<void> {
  if (pid !== null) resetPeak(pid);
  const before = pid === null ? null : costOf(pid);
  const [began, worked] = [performance.now(), workedSeconds(CORES.proxy)];
  const { megabytesPerSecond } = await load<{ megabytesPerSecond: number }>("bytes", { port, direction, bytes, http });
  const row = `${direction} of 1 GiB`;
  sheet.add(row, "MB/s", name, megabytesPerSecond);
  if (pid === null || before === null) return;
  const after = costOf(pid);
  const seconds = (performance.now() - began) / 1000;
  const others = workedSeconds(CORES.proxy) - worked - (after.cpu - before.cpu);
  sheet.add(`${row}, CPU`, "ms", name, (after.cpu - before.cpu) * 1000);
  sheet.add(`${row}, others`, "cores", name, Math.max(0, others) / seconds);
  sheet.add(`${row}, memory grows by`, "MiB", name, (after.peak - before.rss) / MIB);
  sheet.add(`${row}, memory at most`, "MiB", name, after.peak / MIB);
}
