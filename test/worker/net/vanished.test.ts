/** Peers that have vanished, and those that only look like it. */
import { describe, expect, test } from "bun:test";
import { tcpInfo } from "../../../shared/net/linux-tcp.ts";
import { stuckSince, VANISHED_MS } from "../../../worker/net/vanished.ts";
import { listen, stopUpstreams } from "../../contract/upstreams.ts";
import { atEnd } from "../../support/at-end.ts";
import { closeWires } from "../../contract/wire.ts";
import { until } from "../../support/until.ts";

/** Goes through looks of [milliseconds, segments under way, milliseconds since an acknowledgement]; gives the longest time stuck. */
function longest(looks: [now: number, unacknowledged: number, sinceAcknowledged: number][]): number {
  let since: number | null = null;
  let most = 0;
  for (const [now, unacknowledged, sinceAcknowledged] of looks) {
    since = stuckSince(since, now, { unacknowledged, sinceAcknowledged });
    most = Math.max(most, since === null ? 0 : now - since);
  }
  return most;
}

describe("a peer", () => {
  test("that acknowledges nothing is stuck from the first look at what is under way", () => {
    expect(longest([[0, 0, 600_000], [10_000, 1, 610_000], [20_000, 1, 620_000], [70_000, 3, 670_000]])).toBe(60_000); // prettier-ignore
  });

  test("that acknowledges now and then is not, however much is under way", () => {
    expect(longest(Array.from({ length: 100 }, (_, at) => [at * 10_000, 9, 9900]))).toBeLessThan(VANISHED_MS);
  });

  test("that was silent with nothing under way is not", () => {
    expect(longest([[0, 0, 1], [600_000, 0, 600_000], [610_000, 1, 610_000], [620_000, 0, 5]])).toBe(0); // prettier-ignore
  });

  test("that acknowledged since the last look is stuck since then", () => {
    expect(longest([[0, 1, 50_000], [10_000, 1, 60_000], [20_000, 1, 4000]])).toBe(10_000); // prettier-ignore
  });
});

test("the system tells of a peer that reads nothing that it acknowledges", async () => {
  atEnd(closeWires);
  atEnd(stopUpstreams);
  const server = listen(() => undefined);
  let sender: Bun.Socket | null = null;
  sender = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data: () => undefined } });
  atEnd(() => sender?.terminate());
  await until(() => server.wires.length === 1);
  server.wires[0]?.pause();
  // Until the way is full.
  while (sender.write(Buffer.alloc(1024 * 1024)) > 0);
  // It is asked for room again and again, and answers: nothing is under way.
  await until(() => tcpInfo(sender as object)?.unacknowledged === 0);
  expect(tcpInfo(sender as object)?.sinceAcknowledged).toBeLessThan(VANISHED_MS);
});
