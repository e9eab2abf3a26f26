/**
 * WebSocket messages that are never ended: Bun's server joins what clients send, and we what apps send. All together hold so
 * much at most, whoever sends; others' messages pass. A worker as a process of its own, whose memory is looked at.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isFlat, peak } from "../../../contract/flood.ts";
import { startStage, type Stage } from "../../../contract/stage.ts";
import { stopUpstreams } from "../../../contract/upstreams.ts";
import { BINARY, closeBytes, connect, frameBytes, TEXT, webSocketApp, type Peer } from "../../../contract/websocket-peer.ts"; // prettier-ignore
import { closeWires } from "../../../contract/wire.ts";
import { until } from "../../../support/until.ts";

const MIB = 1024 * 1024;
const LIMIT = 64 * MIB;
/** The worker may grow by so much: more comes between two looks, and copies of ours go with the collector. */
const MOST = { client: 512 * MIB, app: 1024 * MIB };
/** MiB, of each of so many: without a limit more than twice of what is allowed. */
const SENT = 192;
const SENDERS = 6;

let stage: Stage;

beforeAll(async () => {
  const options = { worker: { limits: { unfinished_messages: LIMIT } } };
  stage = await startStage({ engine: "serve", frontend: "port", place: "spawned" }, options);
}, 120_000);

afterAll(async () => {
  closeWires();
  stopUpstreams();
  await stage.stop();
});

const CONTINUATION = 0;
/** A fragment of a MiB in the middle of a message, as each side sends it. */
const FRAGMENT = {
  client: frameBytes(CONTINUATION, Buffer.alloc(MIB), true, false),
  app: frameBytes(CONTINUATION, Buffer.alloc(MIB), false, false),
};

/** Sends so many MiB of a message that it does not end, or as much as it can. */
async function begin(peer: Peer, mib: number): Promise<void> {
  await peer.send(BINARY, "begin", false);
  for (let at = 0; at < mib && !peer.wire.closed; at++)
    await peer.wire.send(peer.masks ? FRAGMENT.client : FRAGMENT.app).catch(() => undefined);
}

async function closedSoFar(): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${stage.apiPort()}/metrics`)).text();
  return Number(/^appproxy_worker_unfinished_messages_closed_total (\d+)$/m.exec(text)?.[1]);
}

const WHY = closeBytes(1013, "too many unfinished messages");

describe.if(process.platform === "linux")("clients", () => {
  test("that end no message cost so much at most; the circuit that holds most is told, others' messages pass", async () => {
    const [theirs, mine] = [webSocketApp(), webSocketApp()];
    const [crowded, calm] = [await stage.open({ upstream: theirs.port }), await stage.open({ upstream: mine.port })];
    const honest = await connect(calm);
    // The largest of all, but not of the circuit that holds most.
    await begin(honest, 24);
    using memory = peak(() => stage.rss());
    const before = await closedSoFar();
    const senders = await Promise.all(Array.from({ length: SENDERS }, () => connect(crowded)));
    const sending = senders.map((peer) => begin(peer, SENT));
    const told = await Promise.race(senders.map((peer) => peer.all()));
    expect(told.map(({ payload }) => payload)).toEqual([WHY]);
    await Promise.all(sending);
    await until(async () => (await isFlat(stage.rss)) > 0);
    expect(await closedSoFar()).toBeGreaterThan(before);
    expect(memory.growth()).toBeLessThan(MOST.client);
    // It goes on as if nothing were.
    await honest.send(CONTINUATION, "end");
    const arrived = await (await mine.peer()).next(60_000);
    expect([arrived?.opcode, arrived?.payload.length]).toEqual([BINARY, 24 * MIB + 8]);
    const line = stage.lines.find(({ msg }) => msg === "WebSocket closed: unfinished messages hold too much");
    expect(line).toMatchObject({ level: "warn", peer: "127.0.0.1", limit: LIMIT });
    for (const peer of senders) peer.wire.reset();
  }, 240_000);

  test("that send a gigabyte in whole messages and fragments are left alone", async () => {
    const echo = webSocketApp();
    const to = await stage.open({ upstream: echo.port });
    const before = await closedSoFar();
    const peers = await Promise.all(Array.from({ length: 4 }, () => connect(to)));
    const taking = peers.map(async (_peer, at) => {
      const app = await echo.peer(at);
      for (;;) if ((await app.next(60_000))?.opcode === TEXT) return;
    });
    for (let turn = 0; turn < 16; turn++) {
      await Promise.all(
        peers.map(async (peer) => {
          await begin(peer, 8);
          await peer.send(CONTINUATION, "");
        }),
      );
    }
    await Promise.all(peers.map((peer) => peer.send(TEXT, "the end")));
    await Promise.all(taking);
    expect(await closedSoFar()).toBe(before);
    for (const peer of peers) peer.wire.reset();
  }, 240_000);
});

test("apps that end no message cost so much at most, and both sides are told", async () => {
  const upstream = webSocketApp();
  const to = await stage.open({ upstream: upstream.port });
  using memory = peak(() => stage.rss());
  const peers = await Promise.all(Array.from({ length: SENDERS }, () => connect(to)));
  const apps = await Promise.all(peers.map((_peer, at) => upstream.peer(at)));
  const sending = apps.map((app) => begin(app, SENT));
  const told = await Promise.race(peers.map((peer) => peer.all()));
  expect(told.map(({ payload }) => payload)).toEqual([WHY]);
  await Promise.all(sending);
  expect(memory.growth()).toBeLessThan(MOST.app);
  const theirs = await Promise.race(apps.map((app) => app.all()));
  expect(theirs.map(({ payload }) => payload)).toEqual([WHY]);
  for (const peer of peers) peer.wire.reset();
}, 240_000);
