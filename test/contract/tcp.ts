/** T1: bytes, ends and resets pass as they are, and a side that does not read holds the other one back. */
import { describe, expect } from "bun:test";
import { until } from "../support/until.ts";
import { dial } from "./client.ts";
import { FLOOD_MS, GIB, isFlat, patternCheck, peak, sendPattern } from "./flood.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Opened, Stage, Wish } from "./stage.ts";
import { listen } from "./upstreams.ts";
import type { Wire } from "./wire.ts";

const MIB = 1024 * 1024;

/** A client and an app with the worker between them. */
interface Pair {
  client: Wire;
  app: Wire;
  to: Opened;
  stop: () => void;
}

export async function connectPair(
  stage: Stage,
  serve: (wire: Wire) => unknown = () => undefined,
  wish: Wish = {},
): Promise<Pair> {
  const upstream = listen(serve);
  const to = await stage.open({ upstream: upstream.port, protocol: "tcp", ...wish });
  const client = await dial(to.port);
  const app = await until(() => upstream.wires[0]);
  const stop = () => {
    client.reset();
    upstream.stop();
  };
  return { client, app, to, stop };
}

/** Either side can begin; what holds for one has to hold for the other. */
const SIDES = ["client", "app"] as const;
const other = (side: "client" | "app") => (side === "client" ? "app" : "client");

export function tcpSuite(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);
  describe("TCP", () => {
    line("T1", "passes bytes both ways, and the app may speak first", async () => {
      const { client, app, stop } = await connectPair(stage(), (wire) => wire.send("SSH-2.0-app\r\n"));
      expect(await client.readThrough("\r\n")).toBe("SSH-2.0-app\r\n");
      await client.send("\u0000\u0001\u00ff");
      expect([...(await app.read(3))]).toEqual([0, 1, 255]);
      stop();
    });

    line("T1", "a greeting that ends at once reaches every client whole", async () => {
      const upstream = listen(async (wire) => {
        await wire.send("bye");
        wire.close();
      });
      const { port } = await stage().open({ upstream: upstream.port, protocol: "tcp" });
      const wires = await Promise.all(Array.from({ length: 100 }, () => dial(port)));
      const said = await Promise.all(wires.map(async (wire) => (await wire.rest()).toString()));
      expect(new Set(said)).toEqual(new Set(["bye"]));
      for (const wire of wires) wire.close();
      upstream.stop();
    });

    for (const side of SIDES) {
      line("T1", `the ${side}'s FIN passes, and the other half goes on`, async () => {
        const pair = await connectPair(stage());
        const [first, second] = [pair[side], pair[other(side)]];
        await first.send("question");
        first.finish();
        expect((await second.rest()).toString()).toBe("question");
        expect(second.ended).toBe("end");
        await second.send("answer");
        expect((await first.read(6)).toString()).toBe("answer");
        second.finish();
        expect(await first.end()).toBe("end");
        await until(() => first.closed && second.closed);
        pair.stop();
      });

      line("T1", `the ${side}'s reset passes as a reset`, async () => {
        const pair = await connectPair(stage());
        await pair.client.send("x");
        await pair.app.read(1);
        pair[side].reset();
        expect(await pair[other(side)].end()).toBe("reset");
        pair.stop();
      });

      line("T1", `the ${side}'s reset passes as a reset though the worker finds it when it writes`, async () => {
        const upstream = listen(() => undefined);
        const { port } = await stage().open({ upstream: upstream.port, protocol: "tcp" });
        for (let round = 0; round < 50; round++) {
          const client = await dial(port);
          await client.send("x");
          const app = await until(() => upstream.wires[round]);
          await app.read(1);
          const pair = { client, app };
          // In this order, and at once: what is to be written is read when the reset is there.
          void pair[other(side)].send("y");
          pair[side].reset();
          expect(await pair[other(side)].end()).toBe("reset");
        }
        upstream.stop();
      });

      line("T1", `the ${side}'s reset passes as a reset after the other one's FIN`, async () => {
        const pair = await connectPair(stage());
        pair[other(side)].finish();
        expect(await pair[side].end()).toBe("end");
        pair[side].reset();
        await until(() => pair[other(side)].ended === "reset");
        pair.stop();
      });

      line("T1", `while the ${side} does not read the other side is held back, and nothing is lost`, async () => {
        const pair = await connectPair(stage());
        const [reader, writer] = [pair[side], pair[other(side)]];
        reader.pause();
        using memory = peak(() => stage().rss());
        let sent = 0;
        const sending = sendPattern(writer, 64 * MIB, (bytes) => (sent += bytes));
        expect(await isFlat(() => sent)).toBeLessThan(64 * MIB);
        const growth = memory.growth();
        // In process the test's own bytes are in the same memory.
        if (shape.place === "spawned") expect(growth).toBeLessThan(16 * MIB);
        const check = patternCheck(false);
        reader.stream((bytes) => check.take(bytes));
        reader.resume();
        await sending;
        writer.finish();
        expect(await reader.end()).toBe("end");
        expect([check.count(), check.same()]).toEqual([64 * MIB, true]);
        pair.stop();
      });

      if (shape.place === "spawned")
        line(
          "T1",
          `the ${side}'s reset is passed at once, whatever it had sent to one that does not read`,
          async () => {
            const pair = await connectPair(stage());
            const [reader, writer] = [pair[other(side)], pair[side]];
            // The kernel's buffer grows for who reads fast.
            reader.stream(() => reader.received > 64 * MIB && reader.pause());
            let sent = 0;
            const sending = sendPattern(writer, GIB, (bytes) => (sent += bytes)).catch(() => undefined);
            await until(() => reader.received > 64 * MIB);
            await isFlat(() => sent);
            using memory = peak(() => stage().rss());
            writer.reset();
            await sending;
            expect(await reader.end()).toBe("reset");
            expect(memory.growth()).toBeLessThan(24 * MIB);
            pair.stop();
          },
        );

      line("T1", `the ${side} gets all that was sent before a FIN, however late it reads`, async () => {
        const pair = await connectPair(stage());
        const [reader, writer] = [pair[side], pair[other(side)]];
        reader.pause();
        let sent = 0;
        const sending = sendPattern(writer, 16 * MIB, (bytes) => (sent += bytes)).then(() => writer.finish());
        await isFlat(() => sent);
        // The reader's own half ends first.
        reader.finish();
        reader.stream(() => undefined);
        reader.resume();
        await sending;
        expect(await reader.end()).toBe("end");
        expect(reader.received).toBe(16 * MIB);
        await until(() => reader.closed && writer.closed);
        pair.stop();
      });
    }

    line("T1", "connections that end in any way leave nothing behind", async () => {
      const upstream = listen((wire) => wire.stream(() => wire.close()));
      const { port } = await stage().open({ upstream: upstream.port, protocol: "tcp" });
      const ways: ((wire: Wire) => unknown)[] = [
        (wire) => wire.close(),
        (wire) => wire.reset(),
        (wire) =>
          wire
            .send("end")
            .then(() => wire.rest())
            .then(() => wire.close()),
        (wire) => wire.send("end").then(() => wire.reset()),
        (wire) => wire.finish(),
      ];
      const before = stage().fds();
      for (let round = 0; round < 10; round++)
        await Promise.all(
          Array.from({ length: 50 }, async (_, at) => {
            const wire = await dial(port);
            await ways[at % ways.length]?.(wire);
          }),
        );
      for (const wire of upstream.wires) wire.close();
      await until(() => stage().fds() <= before + 4, 30_000, "the descriptors to return");
      upstream.stop();
    });

    if (shape.place === "spawned")
      line(
        "T1",
        "1 GiB each way is byte-identical, with memory growth under 64 MiB",
        async () => {
          const { client, app, stop } = await connectPair(stage());
          using memory = peak(() => stage().rss());
          await Promise.all([flood(client, app), flood(app, client)]);
          expect(memory.growth()).toBeLessThan(64 * MIB);
          stop();
        },
        { ms: 2 * FLOOD_MS },
      );
  });
}

// --- internal ---

/** Sends 1 GiB and FIN, and checks what comes. */
async function flood(from: Wire, to: Wire): Promise<void> {
  const check = patternCheck(false);
  to.stream((bytes) => check.take(bytes));
  const end = to.end(FLOOD_MS);
  await sendPattern(from, GIB);
  from.finish();
  expect(await end).toBe("end");
  expect([check.count(), check.same()]).toEqual([GIB, true]);
}
