/** H11, H14: silence closes nothing; a connection that does not come about is given up after ten seconds. */
import { expect } from "bun:test";
import { until } from "../support/until.ts";
import { blackhole, doorway } from "./blackhole.ts";
import { ask, begin, finalHead } from "./client.ts";
import { chunk } from "./message.ts";
import type { SlowLine } from "./slow.ts";
import type { Stage } from "./stage.ts";
import { answer, app, echo, type Asked } from "./upstreams.ts";
import { owed } from "../support/owed.ts";

/** Longer than any limit that Bun sets by itself: 10 s without traffic, looked at every 4 s. */
const SILENCE_MS = 15_000;
/** dataplane H14. Milliseconds. */
const CONNECT_LIMIT_MS = 10_000;

export const HTTP_SLOW: SlowLine[] = [
  {
    line: "H11",
    sentence: `keeps streams, waiting requests and uploads open that are silent for ${SILENCE_MS / 1000} s`,
    async work(stage) {
      const silence = Bun.sleep(SILENCE_MS);
      const upstream = app(async (asked) => {
        if (asked.head.target === "/stream")
          await asked.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        await silence;
        await finish(asked);
      });
      const to = await stage.open({ upstream: upstream.port });
      const [stream, poll] = [await begin(to, "/stream"), await begin(to, "/poll")];
      const upload = await begin(to, "/upload", { method: "POST", headers: [["Content-Length", "10"]] });
      await upload.send("first");
      await silence;
      await upload.send("later");
      for (const client of [stream, poll, upload]) {
        const head = await finalHead(client);
        const { bytes, complete } = await client.body(head);
        expect([head.status, bytes.toString().endsWith("later"), complete]).toEqual([200, true, true]);
      }
    },
  },
  {
    line: "H1",
    sentence: `has no time limit for a transfer that moves: a byte a second for ${SILENCE_MS / 1000} s`,
    async work(stage) {
      const seconds = SILENCE_MS / 1000;
      const upstream = app(async ({ wire }) => {
        await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${seconds}\r\n\r\n`);
        for (let at = 0; at < seconds; at++) {
          await wire.send("x");
          await Bun.sleep(1000);
        }
      });
      const client = await begin(await stage.open({ upstream: upstream.port }), "/");
      const head = await finalHead(client);
      const { bytes, complete } = await client.body(head);
      expect([bytes.length, complete]).toEqual([seconds, true]);
    },
  },
  {
    line: "H14",
    sentence: "answers 504 when the app's address takes over 10 s to connect, and holds up nobody else",
    async work(stage) {
      const hole = await blackhole();
      const to = await stage.open({ upstream: hole.port });
      const other = await stage.open({ upstream: echo().port });
      const began = performance.now();
      const client = await begin(to, "/", { headers: [["Accept", "application/json"]] });
      expect((await ask(other, "/")).head.status).toBe(200);
      const head = await finalHead(client);
      const took = performance.now() - began;
      expect([head.status, head.get("content-type")]).toEqual([504, "application/problem+json"]);
      expect(took).toBeGreaterThan(CONNECT_LIMIT_MS - 500);
      expect(took).toBeLessThan(owed(CONNECT_LIMIT_MS + 4000));
      hole.stop();
    },
  },
  {
    line: "H14",
    sentence: "has no limit of 10 s for an answer: an app that is slow is connected",
    async work(stage) {
      const upstream = app(async ({ wire }) => {
        await Bun.sleep(CONNECT_LIMIT_MS + 2000);
        await wire.send(answer(200, [], "at last"));
      });
      const { head, body } = await ask(await stage.open({ upstream: upstream.port }), "/");
      expect([head.status, body.bytes.toString()]).toEqual([200, "at last"]);
    },
  },
  {
    line: "H14",
    sentence: "does not take a slow answer for a slow connect while the app's queue is full",
    work: (stage) => behindFullQueue(stage, "", answer(200, [], "at last")),
  },
  {
    line: "H14",
    sentence: "does not take a silent stream for a slow connect while the app's queue is full",
    work: (stage) => behindFullQueue(stage, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Buffer.from("at last")),
  },
  {
    line: "H14",
    sentence: "takes a client that leaves while its app is being connected for no failure",
    async work(stage) {
      const hole = await blackhole();
      const to = await stage.open({ upstream: hole.port });
      const [leaving, staying] = [await begin(to, "/left"), await begin(to, "/stays")];
      leaving.reset();
      await finalHead(staying);
      const refused = () => stage.lines.filter(({ circuit }) => circuit === to.circuit.id).map(({ url }) => url);
      await until(() => refused().includes("/stays"));
      expect(refused()).toEqual(["/stays"]);
      hole.stop();
    },
  },
];

// --- internal ---

/** A request that the app serves, with `soon` at once and `late` after the connect limit, while it accepts nobody else. */
async function behindFullQueue(stage: Stage, soon: string, late: Uint8Array): Promise<void> {
  const door = doorway();
  const client = await begin(await stage.open({ upstream: door.port }), "/");
  const send = await door.accept();
  if (soon !== "") send(Buffer.from(soon));
  await door.fill();
  await Bun.sleep(CONNECT_LIMIT_MS + 2000);
  send(late);
  const head = await finalHead(client);
  expect([head.status, (await client.body(head)).bytes.toString()]).toEqual([200, "at last"]);
  door.stop();
}

async function finish({ head, wire, body }: Asked): Promise<void> {
  if (head.target === "/upload") await wire.send(answer(200, [], (await body()).bytes));
  else if (head.target === "/poll") await wire.send(answer(200, [], "later"));
  else await wire.send(Buffer.concat([chunk("later"), chunk("")]));
}
