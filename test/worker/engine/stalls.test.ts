/**
 * Clients that stop in the middle of their body or their answer: what they hold is given back after a time, with a clear end,
 * and silence that is not theirs is left alone. In both engines.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ask, begin, dial, finalHead, requestHead } from "../../contract/client.ts";
import { startStage, type Stage } from "../../contract/stage.ts";
import { answer, answering, app, stopUpstreams } from "../../contract/upstreams.ts";
import { closeWires } from "../../contract/wire.ts";
import { freePort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";
import { deadlines } from "../../../worker/net/deadlines.ts";
import { acceptedAt } from "../../../shared/net/linux-accepted.ts";

const MIB = 1024 * 1024;
/** Bun's own are looked at every four seconds. Milliseconds. */
const LONG = 30_000;
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

describe.each(["serve", "sockets"] as const)("engine %s", (engine) => {
  let stage: Stage;
  beforeAll(async () => {
    const limits = { body_timeout: 1, reader_timeout: 1, idle_timeout: 1 };
    stage = await startStage({ engine, frontend: "port", place: "in process" }, { worker: { limits } });
  });
  afterAll(async () => {
    closeWires();
    stopUpstreams();
    await stage.stop();
  });

  async function nothingIsOpen(): Promise<void> {
    await until(async () => {
      const text = await (await fetch(`http://127.0.0.1:${stage.apiPort()}/metrics`)).text();
      return /^appproxy_worker_open 0$/m.test(text);
    });
  }

  const length: [name: string, value: string] = ["Content-Length", "1000000000"];
  const POST = { method: "POST", headers: [length] };

  describe("a body", () => {
    test("that does not go on while its app waits is answered with 408, its connection ends, and the app is told", async () => {
      const upstream = app(({ body }) => body());
      const to = await stage.open({ upstream: upstream.port });
      const client = await begin(to, "/", POST);
      await client.send("some");
      const { wire } = await upstream.request();
      expect((await finalHead(client)).status).toBe(408);
      await client.wait(() => client.ended !== null, "the end", LONG);
      await wire.wait(() => wire.ended !== null, "the end", LONG);
      await nothingIsOpen();
    }, 60_000);

    test("that does not go on behind an answer that has begun breaks it off", async () => {
      const upstream = app(async ({ wire }) => {
        await wire.send(`${CHUNKED}5\r\nearly\r\n`);
      });
      const to = await stage.open({ upstream: upstream.port });
      const client = await begin(to, "/", POST);
      expect((await finalHead(client)).status).toBe(200);
      await client.wait(() => client.ended !== null, "the end", LONG);
      expect(client.text()).not.toContain("0\r\n\r\n");
      await nothingIsOpen();
    }, 60_000);

    test("that no app ever asked for leaves nothing behind", async () => {
      const to = await stage.open({ upstream: await freePort() });
      const before = deadlines.size;
      for (let at = 0; at < 20; at++) {
        const client = await begin(to, "/", { method: "POST", headers: [["Content-Length", "4"], ["Connection", "close"]] }); // prettier-ignore
        await client.send("some");
        expect((await finalHead(client)).status).toBe(503);
        client.reset();
      }
      await until(() => deadlines.size <= before);
    }, 60_000);

    test("waits for an app that takes nothing as long as it likes", async () => {
      const upstream = app(async ({ wire }) => {
        wire.pause();
        await Bun.sleep(4000);
        wire.resume();
        await wire.send(answer(200, [["Connection", "close"]]));
      });
      const to = await stage.open({ upstream: upstream.port });
      const client = await begin(to, "/", POST);
      // More than the way holds, so that the worker waits for the app.
      void (async () => { for (;;) await client.send(Buffer.alloc(MIB)); })().catch(() => undefined); // prettier-ignore
      expect((await finalHead(client)).status).toBe(200);
      client.reset();
    }, 60_000);
  });

  test("a kept connection that is used again and again goes at no look of Bun's", async () => {
    const upstream = answering(answer(200, [], "served"));
    const to = await stage.open({ upstream: upstream.port });
    const client = await dial(to.port);
    // Bun looks every four seconds.
    let asked = 0;
    for (const end = performance.now() + 9000; performance.now() < end; asked++) {
      await client.send(requestHead(to, "/"));
      await client.wait(() => client.text().split("served").length > asked + 1, "an answer");
      await Bun.sleep(20);
    }
    expect([asked > 20, client.ended]).toEqual([true, null]);
    client.reset();
  }, 60_000);

  describe("a reader", () => {
    test("that takes nothing of a long answer loses its connection, and the app is told", async () => {
      const upstream = app(({ wire }) => wire.send(answer(200, [], Buffer.alloc(96 * MIB))).catch(() => undefined));
      const to = await stage.open({ upstream: upstream.port });
      const client = await dial(to.port);
      client.pause();
      await client.send(requestHead(to, "/"));
      const { wire } = await upstream.request();
      await wire.wait(() => wire.ended !== null, "the end", LONG);
      await nothingIsOpen();
      await until(() => acceptedAt(new Set([to.port]))?.size === 0, LONG);
      client.resume();
      await client.wait(() => client.ended !== null, "the end", LONG);
      expect(client.received).toBeLessThan(96 * MIB);
    }, 60_000);

    test("that takes nothing of answers that are whole holds no connection for ever", async () => {
      const to = await stage.open({ upstream: answering(answer(200, [["Content-Type", "a/b"]], Buffer.alloc(300_000))).port }); // prettier-ignore
      const client = await dial(to.port);
      client.pause();
      await client.send(requestHead(to, "/"));
      await until(() => acceptedAt(new Set([to.port]))?.size === 1);
      await until(() => acceptedAt(new Set([to.port]))?.size === 0, LONG);
    }, 60_000);

    test("that is slow gets all of it", async () => {
      const size = 24 * MIB;
      const to = await stage.open({ upstream: answering(answer(200, [], Buffer.alloc(size))).port });
      const client = await begin(to, "/");
      const head = await finalHead(client);
      for (let at = 0; at < 8; at++) {
        const enough = client.received + MIB;
        client.resume();
        await client.wait(() => client.received >= enough, "a gulp");
        client.pause();
        await Bun.sleep(300);
      }
      client.resume();
      const { bytes, complete } = await client.body(head);
      expect([bytes.length, complete]).toEqual([size, true]);
    }, 60_000);
  });

  test("an app may be silent, also to a client that has had a whole answer over the same connection", async () => {
    const upstream = app(async ({ head, wire }) => {
      if (head.target === "/") return wire.send(answer(200, [], "ok"));
      if (head.target === "/stream") await wire.send(`${CHUNKED}5\r\nfirst\r\n`);
      await Bun.sleep(7000);
      return wire.send(head.target === "/stream" ? "4\r\nlast\r\n0\r\n\r\n" : answer(200, [], "at last"));
    });
    const to = await stage.open({ upstream: upstream.port });
    const silent = async (target: string) => {
      const client = await begin(to, "/");
      await client.body(await finalHead(client));
      await client.send(requestHead(to, target));
      const { bytes, complete } = await client.body(await finalHead(client));
      return [bytes.toString(), complete];
    };
    const answers = await Promise.all([silent("/stream"), silent("/poll")]);
    expect(answers).toEqual([["firstlast", true], ["at last", true]]); // prettier-ignore
    expect((await ask(to, "/")).head.status).toBe(200);
  }, 60_000);
});
