/** H1: back-pressure both ways, and gigabytes in little memory. */
import { expect } from "bun:test";
import { until } from "../support/until.ts";
import { ask, begin, dial, finalHead, requestHead } from "./client.ts";
import { FLOOD_MS, GIB, isFlat, pattern, patternCheck, peak, sendPattern } from "./flood.ts";
import { answer, answering, app } from "./upstreams.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";

const LIMIT = 64 * 1024 * 1024;

export function httpFloods(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H1", "holds an app back whose client does not read", async () => {
    let sent = 0;
    const upstream = app(async ({ wire }) => {
      await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${GIB}\r\n\r\n`);
      await sendPattern(wire, GIB, (bytes) => (sent += bytes));
    });
    const to = await stage().open({ upstream: upstream.port });
    const client = await dial(to.port);
    client.pause();
    await client.send(requestHead(to, "/"));
    await until(() => sent > 0);
    expect(await isFlat(() => sent)).toBeLessThan(LIMIT);
    client.reset();
  });

  line("H1", "holds a client back whose app does not read", async () => {
    const upstream = app(({ wire }) => wire.pause());
    const to = await stage().open({ upstream: upstream.port });
    const client = await begin(to, "/", { method: "POST", headers: [["Content-Length", String(GIB)]] });
    let sent = 0;
    const sending = sendPattern(client, GIB, (bytes) => (sent += bytes)).catch(() => undefined);
    await until(() => sent > 0);
    expect(await isFlat(() => sent)).toBeLessThan(LIMIT);
    client.reset();
    await sending;
  });

  line(
    "H1",
    "keeps as many connections to an app as it needed",
    async () => {
      const upstream = app(async ({ wire }) => {
        await until(() => upstream.asked.length % 100 === 0);
        await wire.send(answer(200, [], "ok"));
      });
      const to = await stage().open({ upstream: upstream.port });
      for (let round = 0; round < 2; round++) await Promise.all(Array.from({ length: 100 }, () => ask(to, "/")));
      expect(upstream.wires.length).toBe(100);
    },
    { deviation: "at most 64 idle connections to apps are kept" },
  );

  if (shape.place === "in process") return;

  line(
    "H1",
    "passes 1 GiB down with less than 64 MiB of memory",
    async () => {
      const upstream = app(async ({ wire }) => {
        await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${GIB}\r\n\r\n`);
        await sendPattern(wire, GIB);
      });
      const to = await stage().open({ upstream: upstream.port });
      await warm();
      using memory = peak(() => stage().rss());
      const client = await begin(to, "/");
      const head = await finalHead(client);
      const check = patternCheck(head.get("transfer-encoding") === "chunked");
      client.stream((bytes) => check.take(bytes));
      await client.wait(() => check.count() >= GIB || client.ended !== null, "1 GiB", FLOOD_MS);
      client.close();
      expect([check.count(), check.same()]).toEqual([GIB, true]);
      expect(memory.growth()).toBeLessThan(LIMIT);
    },
    { ms: 2 * FLOOD_MS },
  );

  line(
    "H1",
    "passes 1 GiB up with less than 64 MiB of memory",
    async () => {
      const upstream = app(async ({ head, wire }) => {
        const check = patternCheck(head.get("transfer-encoding") === "chunked");
        wire.stream((bytes) => check.take(bytes));
        await wire.wait(() => check.count() >= GIB, "1 GiB", FLOOD_MS);
        await wire.send(answer(200, [["X-Same", String(check.same())]], String(check.count())));
      });
      const to = await stage().open({ upstream: upstream.port });
      await warm();
      using memory = peak(() => stage().rss());
      const client = await begin(to, "/", { method: "PUT", headers: [["Content-Length", String(GIB)]] });
      await sendPattern(client, GIB);
      const head = await finalHead(client);
      const { bytes } = await client.body(head);
      expect([head.get("x-same"), bytes.toString()]).toEqual(["true", String(GIB)]);
      expect(memory.growth()).toBeLessThan(LIMIT);
    },
    { ms: 2 * FLOOD_MS },
  );

  /** What the first requests cost is no growth. */
  async function warm(): Promise<void> {
    const to = await stage().open({ upstream: answering(answer(200, [], pattern(4 * 1024 * 1024))).port });
    for (let at = 0; at < 8; at++) await ask(to, "/");
  }
}
