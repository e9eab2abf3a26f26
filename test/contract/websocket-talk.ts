/** W3–W5: messages, closes, pings. */
import { describe, expect } from "bun:test";
import { linesOf, useStage } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Opened } from "./stage.ts";
import {
  BINARY,
  CLOSE,
  closeBytes,
  connect,
  frameBytes,
  PING,
  PONG,
  TEXT,
  webSocketApp,
  type Frame,
  type Peer,
} from "./websocket-peer.ts";
import { owed } from "../support/owed.ts";

/** dataplane W4. Milliseconds. */
const CLOSE_LIMIT_MS = 100;
const MIB = 1024 * 1024;

/** Where the forms of a frame's length change, and around it. */
const LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 3 * MIB + 1];

const CLOSES: [code: number | undefined, reason: string][] = [
  [undefined, ""],
  [1000, "done"],
  [1001, ""],
  [1011, "é €"],
  [1012, "x".repeat(123)],
  [3000, "a"],
  [4321, "as asked"],
  [4999, "b"],
];

/** Frames that no server may send, each with the code that the app has to get. */
const BREACHES: [name: string, bytes: Buffer, code: number][] = [
  ["masks its frames", frameBytes(TEXT, "x", true), 1002],
  ["uses a reserved opcode", frameBytes(3, "x", false), 1002],
  ["sends text that is no UTF-8", frameBytes(TEXT, Buffer.from([0xff]), false), 1007],
  ["announces a message over the limit", Buffer.from("827f0000000010000001", "hex"), 1009],
  ["closes with a code that is never sent", frameBytes(CLOSE, closeBytes(1006), false), 1002],
];

export function webSocketTalk(shape: Shape): void {
  const line = linesOf(shape);
  describe("a WebSocket", () => {
    const stage = useStage(shape, { ports: 128 });

    /** Both ends of an open WebSocket. */
    async function pair(): Promise<{ client: Peer; app: Peer; to: Opened }> {
      const upstream = webSocketApp();
      const to = await stage().open({ upstream: upstream.port });
      const client = await connect(to);
      return { client, app: await upstream.peer(), to };
    }

    line("W3", "keeps text text and binary binary, at every length, both ways", async () => {
      const { client, app } = await pair();
      for (const [from, to] of [
        [client, app],
        [app, client],
      ] as const)
        // prettier-ignore
        for (const opcode of [TEXT, BINARY])
          for (const length of LENGTHS) {
            const payload = Buffer.alloc(length, "text ");
            const [frame] = await Promise.all([nextMessage(to), from.send(opcode, payload)]);
            expect([frame?.opcode, frame?.final, frame?.masked, frame?.payload.equals(payload)]).toEqual([opcode, true, to === app, true]); // prettier-ignore
          }
    });

    line("W3", "keeps every character", async () => {
      const { client, app } = await pair();
      const text = Buffer.from("\uFEFFa\0é€😀\u2028");
      await client.send(TEXT, text);
      expect((await nextMessage(app))?.payload).toEqual(text);
      await app.send(TEXT, text);
      expect((await nextMessage(client))?.payload).toEqual(text);
    });

    line("W3", "keeps the order of 20,000 messages each way at once", async () => {
      const { client, app } = await pair();
      const [atApp, atClient] = await Promise.all([
        received(app, 20_000),
        received(client, 20_000),
        sendNumbered(client, 20_000),
        sendNumbered(app, 20_000),
      ]);
      expect(atApp).toEqual(numbered(20_000));
      expect(atClient).toEqual(numbered(20_000));
    });

    line("W3", "joins fragments, with pings answered in between", async () => {
      const { client, app } = await pair();
      for (const [from, to] of [
        [client, app],
        [app, client],
      ] as const) {
        // prettier-ignore
        await from.send(TEXT, "é".slice(0, 1), false);
        await from.send(PING, "between");
        await from.send(0, "", false);
        await from.send(0, "€".repeat(100_000), false);
        await from.send(0, "end");
        expect(await nextMessage(from)).toMatchObject({ opcode: PONG, payload: Buffer.from("between") });
        expect(await nextMessage(to)).toMatchObject({
          opcode: TEXT,
          payload: Buffer.from(`é${"€".repeat(100_000)}end`),
        });
      }
    }, { frames: "made anew" }); // prettier-ignore

    line("W3", "leaves frames as they came: fragments apart", async () => {
      const { client, app } = await pair();
      await client.send(TEXT, "a", false);
      await client.send(0, "b");
      expect(await app.next()).toMatchObject({ opcode: TEXT, final: false, payload: Buffer.from("a") });
      expect(await app.next()).toMatchObject({ opcode: 0, final: true, payload: Buffer.from("b") });
    }, { deviation: "WebSocket frames are made anew: fragments joined, never compressed" }); // prettier-ignore

    if (shape.place === "spawned")
      line("W3", "carries a message of 256 MiB both ways", async () => {
        const { client, app } = await pair();
        const payload = Buffer.alloc(256 * MIB, "large ");
        for (const [from, to] of [[client, app], [app, client]] as const) {
          const [frame] = await Promise.all([to.next(60_000), from.send(BINARY, payload)]);
          expect([frame?.opcode, frame?.payload.equals(payload)]).toEqual([BINARY, true]);
        }
      }, { ms: 90_000 }); // prettier-ignore

    line("W3", "closes with 1009 what is over the limit", async () => {
      const { client, app } = await pair();
      await client.wire.send(Buffer.from("82ff000000001000000100000000", "hex"));
      expect(closeOf(await client.all())).toContain(1009);
      expect((await app.all()).filter(({ opcode }) => opcode === BINARY)).toEqual([]);
    }, { frames: "made anew" }); // prettier-ignore

    for (const [name, bytes, code] of BREACHES)
      line("W3", `closes both sides when the app ${name}`, async () => {
        const { client, app } = await pair();
        await app.send(TEXT, "before");
        await app.wire.send(bytes);
        expect(closeOf(await app.all())).toContain(code);
        const heard = await client.all();
        expect(heard[0]).toMatchObject({ opcode: TEXT, payload: Buffer.from("before") });
        expect(closeOf(heard)).toContain(code);
        app.wire.close();
      }, { frames: "made anew" }); // prettier-ignore

    for (const [name, bytes] of BREACHES)
      line("W3", `leaves it to the client when the app ${name}`, async () => {
        const { client, app } = await pair();
        await app.wire.send(bytes);
        app.wire.close();
        expect(await client.wire.rest()).toEqual(bytes);
      }, { frames: "passed" }); // prettier-ignore

    line("W3", "leaves it to the app when the client breaks a rule", async () => {
      const { client, app } = await pair();
      const bytes = Buffer.concat([frameBytes(TEXT, "not masked", false), frameBytes(PING, "p".repeat(300), true), frameBytes(11, "?", true)]); // prettier-ignore
      await client.wire.send(bytes);
      client.wire.close();
      expect(await app.wire.rest()).toEqual(bytes);
    }, { frames: "passed" }); // prettier-ignore

    line("W3", "leaves frames as they came: compressed, with the mask of who sent them, in pieces of any size", async () => {
      const { client, app } = await pair();
      const frames = Buffer.concat([Buffer.from([0xc1, 0x83, 1, 2, 3, 4, 0x55, 0x66, 0x77]), frameBytes(BINARY, "x".repeat(70_000), true), frameBytes(TEXT, "", true)]); // prettier-ignore
      for (let at = 0; at < frames.length; at += at < 60 ? 1 : 20_000) await client.wire.send(frames.subarray(at, at < 60 ? at + 1 : at + 20_000)); // prettier-ignore
      client.wire.close();
      expect((await app.wire.rest()).equals(frames)).toBe(true);
    }, { frames: "passed" }); // prettier-ignore

    for (const [code, reason] of CLOSES)
      line("W4", `passes a close both ways: ${code ?? "no code"} ${JSON.stringify(reason)}`, async () => {
        for (const way of ["client", "app"] as const) {
          const ends = await pair();
          const [from, to] = way === "client" ? [ends.client, ends.app] : [ends.app, ends.client];
          await from.send(TEXT, "last words");
          const said = performance.now();
          await from.close(code, reason);
          const heard = await to.all();
          expect(performance.now() - said).toBeLessThan(owed(CLOSE_LIMIT_MS));
          expect(heard.map(({ opcode }) => opcode)).toEqual([TEXT, CLOSE]);
          expect(closeOf(heard)).toEqual(code === undefined ? [] : [code, reason]);
          // Who has said goodbye hears the same, from the worker or from the other side, and the connections end.
          await to.close(code, reason);
          expect(closeOf(await from.all())).toEqual(code === undefined ? [] : [code, reason]);
          ends.app.wire.close();
          await Promise.all([ends.client.wire.end(), ends.app.wire.end()]);
        }
      });

    for (const how of ["close", "reset"] as const)
      line("W4", `drops the client within 100 ms when the app dies (${how}), after what it had sent`, async () => {
        const { client, app } = await pair();
        await app.send(TEXT, "last words");
        expect((await client.next())?.payload.toString()).toBe("last words");
        const died = performance.now();
        app.wire[how]();
        await client.wire.end();
        expect(performance.now() - died).toBeLessThan(owed(CLOSE_LIMIT_MS));
        expect(await client.next()).toBeNull();
      });

    for (const how of ["close", "reset"] as const)
      line("W4", `drops the app within 100 ms when the client dies (${how})`, async () => {
        const { client, app } = await pair();
        await client.send(TEXT, "last words");
        expect((await app.next())?.payload.toString()).toBe("last words");
        const died = performance.now();
        client.wire[how]();
        await app.wire.end();
        expect(performance.now() - died).toBeLessThan(owed(CLOSE_LIMIT_MS));
        expect(await app.next()).toBeNull();
      });

    line("W4", "delivers what was sent before a death to an end that does not read yet", async () => {
      for (const way of ["client", "app"] as const) {
        const ends = await pair();
        const [from, to] = way === "client" ? [ends.client, ends.app] : [ends.app, ends.client];
        to.wire.pause();
        // More than the kernels' buffers hold: some of it waits in the worker.
        await sendNumbered(from, 6000, 1024);
        from.wire.close();
        const arrived = received(to, 6000);
        to.wire.resume();
        expect(await arrived).toEqual(numbered(6000));
        expect([await nextMessage(to), await to.wire.end()]).toEqual([null, "end"]);
      }
    });

    line("W5", "answers pings of both sides", async () => {
      const { client, app } = await pair();
      for (const end of [client, app])
        for (const payload of ["", "x", "p".repeat(125)]) {
          await end.send(PING, payload);
          expect(await end.next()).toMatchObject({ opcode: PONG, payload: Buffer.from(payload) });
        }
      await client.send(PONG, "nobody asked");
      await app.send(PONG, "nobody asked");
      await client.send(TEXT, "on");
      expect((await app.next())?.payload.toString()).toBe("on");
    }, { frames: "made anew" }); // prettier-ignore

    line("W5", "leaves pings to the ends: each sees the other's", async () => {
      const { client, app } = await pair();
      for (const [from, to] of [[client, app], [app, client]] as const)
        for (const payload of ["", "x", "p".repeat(125)]) {
          await from.send(PING, payload);
          expect(await to.next()).toMatchObject({ opcode: PING, payload: Buffer.from(payload) });
          await to.send(PONG, payload);
          expect(await from.next()).toMatchObject({ opcode: PONG, payload: Buffer.from(payload) });
        }
    }, { frames: "passed" }); // prettier-ignore
  });
}

// --- internal ---

/** Sends messages that begin with their number. */
async function sendNumbered(from: Peer, count: number, size = 4): Promise<void> {
  const payload = Buffer.alloc(size);
  for (let at = 0; at < count; at++) {
    payload.writeUInt32BE(at);
    await from.send(BINARY, payload);
  }
}

/** The numbers of the next messages. */
async function received(to: Peer, count: number): Promise<number[]> {
  const numbers: number[] = [];
  while (numbers.length < count) numbers.push((await nextMessage(to))?.payload.readUInt32BE() ?? -1);
  return numbers;
}

/** The worker may ask with a ping whether megabytes are read (dataplane W5). */
async function nextMessage(to: Peer, ms?: number): ReturnType<Peer["next"]> {
  for (;;) {
    const frame = await to.next(ms);
    if (frame?.opcode !== PING) return frame;
  }
}

function numbered(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at);
}

/** Code and reason of the close frame that stands last. */
function closeOf(frames: Frame[]): [code?: number, reason?: string] {
  const last = frames.at(-1);
  if (last?.opcode !== CLOSE) throw new Error("the last frame is no close frame");
  return last.payload.length === 0 ? [] : [last.payload.readUInt16BE(), last.payload.toString("utf8", 2)];
}
