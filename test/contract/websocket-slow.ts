/** W5, and what it means for accounting: silence closes nothing, a dead peer is noticed. */
import { expect } from "bun:test";
import { framesOf } from "./engines.ts";
import { until } from "../support/until.ts";
import type { SlowLine } from "./slow.ts";
import { BINARY, connect, PING, PONG, TEXT, webSocketApp, type Peer } from "./websocket-peer.ts";

/** dataplane W5. Milliseconds. */
const DEAD_PEER_LIMIT_MS = 60_000;
/** The worker asks within half of it. */
const SILENCE_MS = 40_000;

export const WEBSOCKET_SLOW: SlowLine[] = [
  {
    line: "W5",
    sentence: "notices an app that answers nothing any more within 60 s, and tells its client",
    frames: "made anew",
    in: ({ place, frontend }) => place === "spawned" && frontend === "port",
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      const app = await upstream.peer();
      answerPings(client);
      await app.send(TEXT, "last words");
      const since = performance.now();
      await Promise.all([client.wire.end(DEAD_PEER_LIMIT_MS), app.wire.end(DEAD_PEER_LIMIT_MS)]);
      expect(performance.now() - since).toBeLessThan(DEAD_PEER_LIMIT_MS);
      expect((await app.next())?.opcode).toBe(PING);
    },
  },
  {
    line: "W5",
    sentence: "notices a client that answers nothing any more within 60 s, and tells its app",
    frames: "made anew",
    in: ({ place, frontend }) => place === "spawned" && frontend === "port",
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      const app = await upstream.peer();
      answerPings(app);
      await client.send(TEXT, "last words");
      const since = performance.now();
      await Promise.all([client.wire.end(DEAD_PEER_LIMIT_MS), app.wire.end(DEAD_PEER_LIMIT_MS)]);
      expect(performance.now() - since).toBeLessThan(DEAD_PEER_LIMIT_MS);
      expect((await client.next())?.opcode).toBe(PING);
    },
  },
  {
    line: "W5",
    sentence: "notices a dead app though its client goes on sending",
    frames: "made anew",
    deviation: "a WebSocket peer that dies with unread data is noticed only when it has had time to read it",
    in: ({ place, frontend }) => place === "spawned" && frontend === "port",
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      const app = await upstream.peer();
      app.wire.pause();
      const since = performance.now();
      void flood(client);
      await client.wire.end(DEAD_PEER_LIMIT_MS);
      expect(performance.now() - since).toBeLessThan(DEAD_PEER_LIMIT_MS);
    },
  },
  {
    line: "W5",
    sentence: `keeps a socket open that is silent for ${SILENCE_MS / 1000} s but for pings`,
    frames: "made anew",
    in: ({ place, frontend }) => place === "spawned" && frontend === "port",
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      const app = await upstream.peer();
      const asked = [answerPings(client), answerPings(app)];
      await Bun.sleep(SILENCE_MS);
      await client.send(BINARY, "on");
      await until(() => asked[1]?.heard.length === 1, 30_000, "the message");
      expect(asked.map(({ pings }) => pings > 0)).toEqual([true, true]);
    },
  },
  {
    line: "W5",
    sentence: `keeps a socket open that is silent for ${SILENCE_MS / 1000} s, and says nothing itself`,
    frames: "passed",
    in: ({ place, frontend }) => place === "spawned" && frontend === "port",
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      const app = await upstream.peer();
      await Bun.sleep(SILENCE_MS);
      for (const [from, to] of [
        [client, app],
        [app, client],
      ] as const) {
        // prettier-ignore
        await from.send(BINARY, "on");
        expect(await to.next()).toMatchObject({ opcode: BINARY, payload: Buffer.from("on") });
      }
    },
  },
  ...(["app", "client"] as const).map((who): SlowLine => ({
    line: "W6",
    sentence: `keeps ${who === "app" ? "an app" : "a client"} that does not read for 65 s, and loses nothing`,
    in: ({ place, frontend }) => place === "spawned" && frontend === "port",
    async work(stage) {
      const upstream = webSocketApp();
      const client = await connect(await stage.open({ upstream: upstream.port }));
      const app = await upstream.peer();
      const [from, to] = who === "app" ? [client, app] : [app, client];
      answerPings(from);
      to.wire.pause();
      const count = 200;
      const sent = (async () => {
        for (let at = 0; at < count; at++) await from.send(BINARY, Buffer.alloc(65_536, at));
      })();
      await Bun.sleep(65_000);
      to.wire.resume();
      const got: number[] = [];
      while (got.length < count) {
        const frame = await to.next();
        if (frame === null) break;
        if (frame.opcode === BINARY) got.push(frame.payload[0] ?? -1);
        else if (frame.opcode === PING) await to.send(PONG, frame.payload);
      }
      await sent;
      expect(got).toEqual(Array.from({ length: count }, (_, at) => at));
    },
  })),
  {
    line: "A1",
    sentence: "takes pings and pongs on a WebSocket for no use of their own, and messages for use",
    options: { redis: true, sections: { usage: { open_connections: false } } },
    async work(stage) {
      const upstream = webSocketApp();
      const to = await stage.open({ upstream: upstream.port });
      const client = await connect(to);
      const app = await upstream.peer();
      const access = async () => (await stage.use(to)).lastAccess ?? 0;
      for (const [from, other] of [
        [client, app],
        [app, client],
      ] as const) {
        // prettier-ignore
        const before = await settled(access);
        for (let at = 0; at < 30; at++) {
          await from.send(PING, "still here");
          // The worker answers, or the other side does.
          if (framesOf(stage.shape.engine) === "passed") {
            expect((await other.next())?.opcode).toBe(PING);
            await other.send(PONG, "still here");
          }
          expect((await from.next())?.opcode).toBe(PONG);
          await Bun.sleep(100);
        }
        expect(await access()).toBe(before);
        await from.send(BINARY, "x");
        expect((await other.next())?.opcode).toBe(BINARY);
        await until(async () => (await access()) > before, 30_000, "the message to be accounted");
      }
    },
  },
];

// --- internal ---

/** From now on answers pings, and keeps what else comes. */
function answerPings(peer: Peer): { pings: number; heard: string[] } {
  const asked = { pings: 0, heard: [] as string[] };
  void (async () => {
    for (;;) {
      await peer.wire.wait(() => peer.wire.text().length > 0 || peer.wire.ended !== null, "a frame", 90_000);
      const frame = await peer.next();
      if (frame === null) return;
      if (frame.opcode !== PING) asked.heard.push(frame.payload.toString());
      else {
        asked.pings++;
        await peer.send(PONG, frame.payload);
      }
    }
  })().catch(() => undefined);
  return asked;
}

async function flood(from: Peer): Promise<void> {
  try {
    for (;;) await from.send(BINARY, Buffer.alloc(65_536));
  } catch {
    // The connection is gone: as expected.
    return;
  }
}

/** A value once it has been the same for longer than the worker takes to write. */
async function settled(look: () => Promise<number>): Promise<number> {
  for (let last = await look(), since = performance.now(); ; await Bun.sleep(50)) {
    const now = await look();
    if (now === last && performance.now() - since > 2500) return now;
    if (now !== last) [last, since] = [now, performance.now()];
  }
}
