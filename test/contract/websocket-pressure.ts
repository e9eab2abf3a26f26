/** W6, W7: what a stalled end costs the worker, and what is left of connections that are gone. */
import { readFileSync } from "node:fs";
import { describe, expect } from "bun:test";
import { until } from "../support/until.ts";
import { isFlat } from "./flood.ts";
import { linesOf, useStage } from "./line.ts";
import type { Shape } from "./shapes.ts";
import { BINARY, connect, frameBytes, PING, webSocketApp, type Peer } from "./websocket-peer.ts";
import { owed } from "../support/owed.ts";

const MIB = 1024 * 1024;
/** dataplane W6. */
const STALLED_COST = MIB;
/** More than the kernel's buffers can hold of both connections and the worker may: Linux 6.16 lets each receive 32 MiB. */
const FLOOD = 8 * MIB + 2 * (mostOf("tcp_rmem") + mostOf("tcp_wmem"));
/** dataplane W7. */
const CONNECTIONS = 20_000;
const AT_ONCE = 100;
/** 32 MiB for three quarters of them: what each may leave. */
const LEFT_BYTES = 2236;
/** What is sent at once: bytes that the kernel has taken are known only as whole pieces. */
const PIECE = 64 * 1024;
const PINGED = Buffer.alloc(125, "ping");

export function webSocketPressure(shape: Shape): void {
  const line = linesOf(shape);
  describe("a WebSocket under pressure", () => {
    const stage = useStage(shape);

    /** Both ends, and the ports that their connections go to. */
    async function pair(): Promise<{ client: Peer; app: Peer; ports: number[] }> {
      const upstream = webSocketApp();
      const to = await stage().open({ upstream: upstream.port });
      const client = await connect(to);
      return { client, app: await upstream.peer(), ports: [to.port, upstream.port] };
    }

    for (const size of [64, 64 * 1024])
      line(
        "W6",
        `holds at most 1 MiB for an end that does not read, and loses no message of ${size} bytes`,
        async () => {
          const rss = stage().rss();
          // One after the other: the kernel's buffers of a wildcard frontend's connections can't be told apart.
          await stall("client", size);
          await stall("app", size);
          if (shape.place === "spawned") expect(stage().rss() - rss).toBeLessThan(64 * MIB);
        },
        { ms: 5 * 60_000 },
      );

    async function stall(stalled: "client" | "app", size: number): Promise<void> {
      const ends = await pair();
      const [from, to] = stalled === "app" ? [ends.client, ends.app] : [ends.app, ends.client];
      const numbers = numbersAt(to, size);
      const before = to.wire.received;
      to.wire.pause();
      const flood = floodOf(from, size);
      const held = async () => (await isFlat(flood.sent)) + PIECE + before - to.wire.received - inKernel(ends.ports);
      expect(await held()).toBeLessThan(STALLED_COST);
      expect(flood.sent()).toBeLessThan(FLOOD);
      if (size >= PIECE) {
        await readInGulps(to);
        expect(await held()).toBeLessThan(STALLED_COST);
      }
      to.wire.resume();
      await until(() => numbers.count() === FLOOD / size, owed(30_000), "all messages");
      expect(numbers.inOrder()).toBe(true);
      from.wire.reset();
      to.wire.reset();
    }

    line("W6", "holds little for an end that asks with pings and does not read", async () => {
      const rss = stage().rss();
      await Promise.all((["client", "app"] as const).map((asking) => ask(asking)));
      if (shape.place === "spawned") expect(stage().rss() - rss).toBeLessThan(64 * MIB);
    }, { frames: "made anew" }); // prettier-ignore

    async function ask(asking: "client" | "app"): Promise<void> {
      const ends = await pair();
      const [from, to] = asking === "app" ? [ends.app, ends.client] : [ends.client, ends.app];
      from.wire.pause();
      let sent = 0;
      const pings = Buffer.concat(Array.from({ length: 500 }, () => frameBytes(PING, PINGED, from.masks)));
      pump(from, FLOOD, () => pings, (bytes) => (sent += bytes)); // prettier-ignore
      await isFlat(() => sent);
      // Its answers fill the way back, and then it is not read from; or what it does not read is forgotten.
      from.wire.stream(() => undefined);
      from.wire.resume();
      await until(() => sent >= FLOOD, owed(30_000), "all pings to be taken");
      await from.send(BINARY, "on");
      expect((await to.next())?.payload.toString()).toBe("on");
      from.wire.reset();
      to.wire.reset();
    }

    if (shape.place === "spawned" && shape.frontend === "port")
      line("W7", `leaves nothing behind of ${CONNECTIONS} connections`, async () => {
        const upstream = webSocketApp(async (peer) => {
          await peer.send(BINARY, "hello");
          await peer.all();
          await peer.close(1000);
          peer.wire.close();
        });
        const to = await stage().open({ upstream: upstream.port });
        const round = async () => {
          const client = await connect(to);
          await client.next();
          await client.close(1000);
          await client.all();
          client.wire.close();
        };
        const run = async (count: number) => {
          for (let at = 0; at < count; at += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, round));
          upstream.wires.length = upstream.asked.length = 0;
        };
        const fds = stage().fds();
        await run(CONNECTIONS / 4);
        const growth: number[] = [];
        for (let third = 0; third < 3; third++) {
          const rss = stage().rss();
          await run(CONNECTIONS / 4);
          growth.push(stage().rss() - rss);
        }
        await until(() => stage().fds() <= fds + 2, 30_000, "the descriptors to be closed");
        // What is left behind of each connection is left behind of every one: each quarter grows as the one before. What
        // only the collector has not taken yet, which comes later on a busy machine, makes some of them grow, not all.
        expect(Math.min(...growth)).toBeLessThan((LEFT_BYTES * CONNECTIONS) / 4);
      }, { ms: 5 * 60_000 }); // prettier-ignore
  });
}

// --- internal ---

/** The size to which the kernel lets a connection's buffer grow, rounded up to whole MiB. Bytes; tcp(7). */
function mostOf(buffer: "tcp_rmem" | "tcp_wmem"): number {
  const most = Number(readFileSync(`/proc/sys/net/ipv4/${buffer}`, "utf8").trim().split(/\s+/)[2]);
  return Math.ceil(most / MIB) * MIB;
}

/** Sends pieces until so many bytes are sent, or the connection is gone. */
function pump(from: Peer, total: number, piece: () => Buffer, took: (bytes: number) => void): void {
  void (async () => {
    for (let left = total; left > 0;) {
      const bytes = piece();
      await from.wire.send(bytes);
      took(bytes.length);
      left -= bytes.length;
    }
  })().catch(() => undefined);
}

/** Messages of this size, each beginning with its number, as fast as they are taken. */
function floodOf(from: Peer, size: number): { sent: () => number } {
  const masks = from.masks;
  const head = frameBytes(BINARY, Buffer.alloc(size), false).length - size;
  const one = frameBytes(BINARY, Buffer.alloc(size), false);
  // A mask of zeros: the numbers can be written in place.
  const frame = masks ? Buffer.concat([one.subarray(0, head), Buffer.alloc(4), one.subarray(head)]) : one;
  if (masks) frame[1] = (frame[1] ?? 0) | 128;
  const count = Math.max(1, PIECE / size);
  const piece = Buffer.concat(Array.from({ length: count }, () => frame));
  let number = 0;
  let sent = 0;
  const next = () => {
    for (let at = 0; at < count; at++) piece.writeUInt32BE(number++, (at + 1) * frame.length - size);
    return piece;
  };
  pump(from, (FLOOD / size) * frame.length, next, (bytes) => (sent += bytes));
  return { sent: () => sent };
}

/** Counts the messages that come, and sees whether their numbers are in order. */
function numbersAt(to: Peer, size: number): { count: () => number; inOrder: () => boolean } {
  const masked = !to.masks;
  const length = frameBytes(BINARY, Buffer.alloc(size), masked).length;
  const ping = frameBytes(PING, "", masked).length;
  const frameAt = (all: Buffer, at: number): number => {
    const whole = ((all[at] ?? 0) & 15) === PING ? ping : length;
    return at + whole <= all.length ? whole : 0;
  };
  let rest = Buffer.alloc(0);
  let count = 0;
  let inOrder = true;
  to.wire.stream((bytes) => {
    const all = Buffer.concat([rest, bytes]);
    let at = 0;
    for (let taken = frameAt(all, at); taken > 0; taken = frameAt(all, at)) {
      at += taken;
      // The worker asks now and then whether what it has sent was read.
      if (taken === ping) continue;
      const start = at - size;
      const mask = masked ? all.readUInt32BE(start - 4) : 0;
      inOrder &&= (all.readUInt32BE(start) ^ mask) >>> 0 === count;
      count++;
    }
    rest = all.subarray(at);
  });
  return { count: () => count, inOrder: () => inOrder };
}

/** Reads a little, again and again: each time some room is made on the way, and more must not come than went. */
async function readInGulps({ wire }: Peer): Promise<void> {
  for (let gulp = 0; gulp < 10; gulp++) {
    const enough = wire.received + MIB / 2;
    wire.resume();
    await wire.wait(() => wire.received >= enough, "a gulp");
    wire.pause();
  }
}

/** Bytes that stand in the kernel's buffers of all open connections to or from these ports. */
function inKernel(ports: number[]): number {
  const names = new Set(ports.map((port) => port.toString(16).toUpperCase().padStart(4, "0")));
  let bytes = 0;
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, local = "", remote = "", state, queues = ""] = line.trim().split(/\s+/);
    const ours = [local, remote].some((end) => names.has(end.split(":")[1] ?? ""));
    if (state !== "01" || !ours) continue;
    for (const queue of queues.split(":")) bytes += Number.parseInt(queue, 16);
  }
  return bytes;
}
