/** Event streams: what each proxy adds to the first byte and to every event. */
import { checkHttp } from "./checks.ts";
import type { Figure } from "./measure.ts";
import { Sheet } from "./sheet.ts";
import { HTTP_PEERS, inTurns, load, RATIOS, withHttpPeers } from "./stage.ts";

const ROUNDS = 2;
const FIRST_BYTES = 100;
/** 2,000 events a second in all: what a proxy adds shows, what the cores can't do does not. */
const EVENTS = { streams: 20, count: 100, every: 10 };

export async function benchStream(): Promise<Sheet> {
  const sheet = new Sheet(HTTP_PEERS, RATIOS);
  await withHttpPeers(async ({ peers, key }) => {
    for (const peer of peers) await checkHttp(peer, key);
    await inTurns(ROUNDS, peers, async ({ name, port }) => {
      const to = { port, ...key };
      const first = await load<Figure>("first-byte", { ...to, ...EVENTS, streams: FIRST_BYTES });
      sheet.add("first byte of a stream, p50", "ms", name, first.p50);
      sheet.add("first byte of a stream, p99", "ms", name, first.p99);
      const events = await load<Figure>("events", { ...to, ...EVENTS });
      sheet.add("delay of an event, p50", "ms", name, events.p50);
      sheet.add("delay of an event, p99", "ms", name, events.p99);
    });
  });
  return sheet;
}

export function judgeStream(sheet: Sheet): string {
  const added = sheet.value("delay of an event, p99", "worker") - sheet.value("delay of an event, p99", "direct");
  return `${EVENTS.streams} streams, an event every ${EVENTS.every} ms each; the worker adds ${added.toFixed(2)} ms at p99 (limit 5 ms)`;
}
