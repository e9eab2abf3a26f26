/** Event streams: what each proxy adds to the first byte and to every event. */
import { checkHttp } from "./checks.ts";
import type { Figure } from "./measure.ts";
import { Sheet } from "./sheet.ts";
import type { Size } from "./size.ts";
import { HTTP_PEERS, inTurns, load, RATIOS, withHttpPeers } from "./stage.ts";

const AMOUNT = {
  /** 2,000 events a second in all: what a proxy adds shows, what the cores can't do does not. */
  full: { rounds: 2, firstBytes: 100, events: { streams: 20, count: 100, every: 10 } },
  smoke: { rounds: 1, firstBytes: 3, events: { streams: 2, count: 3, every: 10 } },
} satisfies Record<Size, object>;

export async function benchStream(size: Size): Promise<Sheet> {
  const { rounds, firstBytes, events } = AMOUNT[size];
  const sheet = new Sheet(HTTP_PEERS, RATIOS);
  await withHttpPeers(size, async ({ peers, key }) => {
    for (const peer of peers) await checkHttp(peer, key);
    await inTurns(rounds, peers, async ({ name, port }) => {
      const to = { port, ...key };
      const first = await load<Figure>("first-byte", { ...to, ...events, streams: firstBytes });
      sheet.add("first byte of a stream, p50", "ms", name, first.p50);
      sheet.add("first byte of a stream, p99", "ms", name, first.p99);
      const later = await load<Figure>("events", { ...to, ...events });
      sheet.add("delay of an event, p50", "ms", name, later.p50);
      sheet.add("delay of an event, p99", "ms", name, later.p99);
    });
  });
  return sheet;
}

export function judgeStream(sheet: Sheet): string {
  const added = sheet.value("delay of an event, p99", "worker") - sheet.value("delay of an event, p99", "direct");
  const { streams, every } = AMOUNT.full.events;
  return `${streams} streams, an event every ${every} ms each; the worker adds ${added.toFixed(2)} ms at p99 (limit 5 ms)`;
}
