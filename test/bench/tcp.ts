/** Plain TCP: a GiB in both directions through the worker and through HAProxy. */
import { direct, isInstalled, startHaproxy } from "./proxies.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { bigBytes, inTurns, withUpstream } from "./stage.ts";
import { transfer } from "./transfer.ts";
import { against, OTHERS_NOTE, verdict } from "./verdict.ts";
import { startWorkerPeer } from "./worker-peer.ts";

const ROUNDS = { full: 2, smoke: 1 } satisfies Record<Size, number>;
const DIRECTIONS = ["download", "upload"] as const;

export async function benchTcp(size: Size): Promise<Sheet> {
  const bytes = bigBytes(size);
  const sheet = new Sheet(["direct", "worker", "haproxy"], [["worker", "haproxy"]]);
  await withUpstream(size, async ({ tcp }, keep) => {
    const worker = await keep(startWorkerPeer({ upstream: tcp, protocol: "tcp" }));
    const peers = [direct(tcp), worker];
    if (isInstalled("haproxy", size)) peers.push(await keep(startHaproxy("tcp", tcp)));
    for (const direction of DIRECTIONS)
      await inTurns(ROUNDS[size], peers, (peer) => transfer(sheet, peer, { direction, bytes, http: null }));
  });
  return sheet;
}

export function judgeTcp(sheet: Sheet): string {
  const judged = DIRECTIONS.map((direction) => against(sheet, `${direction} of 1 GiB`, "haproxy", 1));
  const measured = DIRECTIONS.map((direction, at) => `${direction} ${judged[at]?.measured}`).join("; ");
  return [
    verdict(
      "TCP faster than HAProxy",
      judged.every(({ reached }) => reached),
      measured,
    ),
    OTHERS_NOTE,
  ].join("\n");
}
