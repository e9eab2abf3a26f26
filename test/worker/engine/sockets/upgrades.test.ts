/** Upgrades on the engine on raw sockets: who may be asked for what, and what a tunnel does at its ends. */
import { describe, expect, test } from "bun:test";
import { app, listen } from "../../../contract/upstreams.ts";
import { acceptance, closeBytes, frameBytes, handshake } from "../../../contract/websocket-peer.ts";
import { until } from "../../../support/until.ts";
import { carryTo, type Carrying } from "./carrying.ts";
import type { Wire } from "../../../contract/wire.ts";

const TEXT = 1;
/** A protocol that is no WebSocket. */
const switched = (to: string) => `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${to}\r\n\r\n`;

/** An app that switches to what it is told, and gives its ends of tunnels. */
function switching(upgrade: string) {
  return app(async ({ wire, head }) => {
    await wire.send(upgrade === "websocket" ? acceptance(head) : switched(upgrade));
    await wire.wait(() => wire.ended !== null, "its end", 60_000);
  });
}

function request(upgrade: string, more = "", method = "GET"): string {
  return `${method} /ws HTTP/1.1\r\nHost: me\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\n${more}\r\n`;
}

async function opened(carrying: Carrying, upgrade = "websocket"): Promise<Wire> {
  const client = await carrying.connect();
  const lines = handshake().map(([name, value]) => `${name}: ${value}\r\n`).join(""); // prettier-ignore
  await client.send(request(upgrade, lines.replace(/(Connection|Upgrade): .*\r\n/gi, "")));
  expect((await client.head()).status).toBe(101);
  return client;
}

describe("what is asked for", () => {
  test.each(["websocket", "WebSocket", "foo, websocket", "websocket/13, websocket"])("%s may become a WebSocket, so that its Origin counts", async (upgrade) => {
    const carrying = carryTo(switching("websocket"));
    await opened(carrying, upgrade);
    expect(carrying.heads[0]?.upgrade).toBe(true);
  }); // prettier-ignore

  test("an app may choose one of several, and no other one", async () => {
    const chosen = await opened(carryTo(switching("b")), "a, b");
    expect(chosen.closed).toBe(false);
    const client = await carryTo(switching("c")).connect();
    await client.send(request("a, b"));
    expect((await client.head()).status).toBe(502);
  });

  test.each([
    ["with content", request("websocket", "Content-Length: 2\r\n") + "hi"],
    ["by POST", request("websocket", "", "POST")],
  ])("a WebSocket %s is not: the request goes without", async (_how, bytes) => {
    const upstream = app(async ({ body, wire }) => {
      await body();
      await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    const carrying = carryTo(upstream);
    const client = await carrying.connect();
    await client.send(bytes);
    expect((await client.head()).status).toBe(200);
    expect(carrying.heads[0]?.upgrade).toBe(false);
    expect((await upstream.request()).head.get("upgrade")).toBeNull();
  });

  test("another protocol by POST passes, as Docker's clients ask for it", async () => {
    const carrying = carryTo(switching("tcp"));
    const client = await carrying.connect();
    await client.send(request("tcp", "Content-Length: 0\r\n", "POST"));
    expect((await client.head()).status).toBe(101);
  });

  test("TE is named beside it", async () => {
    const upstream = switching("websocket");
    await opened(carryTo(upstream, { set: [["TE", "trailers"]] }));
    const { head } = await upstream.request();
    expect([head.get("te"), head.get("connection")]).toEqual(["trailers", "Upgrade, TE"]);
  });
});

describe("a tunnel", () => {
  test("tells the app of a half that ended before its answer", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const upstream = app(async ({ wire }) => {
      await promise;
      await wire.send(switched("echo"));
      await wire.wait(() => wire.ended !== null, "the end of the client's half", 60_000);
      await wire.send("seen");
      wire.close();
    });
    const client = await carryTo(upstream).connect();
    await client.send(request("echo"));
    await upstream.request();
    client.finish();
    resolve();
    expect((await client.rest()).toString("latin1")).toEndWith("\r\n\r\nseen");
  });

  test("that is asked twice to close says so once, and nothing follows", async () => {
    const carrying = carryTo(switching("websocket"));
    const client = await opened(carrying);
    const [attempt] = carrying.attempts;
    attempt?.drain?.(false);
    await client.send(frameBytes(TEXT, "late", true));
    attempt?.drain?.(true);
    expect(await client.rest()).toEqual(frameBytes(8, closeBytes(1012, "service restart"), false));
  });

  test("passes nothing of the client's behind the Close that was said for it", async () => {
    const upstream = switching("websocket");
    const carrying = carryTo(upstream);
    const client = await opened(carrying);
    const { wire } = await upstream.request();
    await client.send(frameBytes(TEXT, "before", true));
    await wire.wait(() => wire.received > 0 && wire.text().length >= 12, "a frame");
    wire.take(12);
    carrying.attempts[0]?.drain?.(false);
    await client.send(frameBytes(TEXT, "behind", true));
    client.finish();
    const heard = await wire.rest();
    expect([heard[0], heard.length]).toEqual([0x88, 2 + 4 + 2 + "service restart".length]);
  });

  test("whose end has said Close itself gets none of ours", async () => {
    const upstream = switching("websocket");
    const carrying = carryTo(upstream);
    const client = await opened(carrying);
    const { wire } = await upstream.request();
    await client.send(frameBytes(8, Buffer.from([0x03, 0xe8]), true));
    await wire.wait(() => wire.text().length >= 8, "the client's Close");
    wire.take(8);
    carrying.attempts[0]?.drain?.(true);
    client.finish();
    expect((await wire.rest()).length).toBe(0);
  });

  test("stays its attempt's until both ends have all", async () => {
    const BIG = Buffer.alloc(64 * 1024 * 1024, 1);
    const upstream = listen(async (wire) => {
      await wire.readThrough("\r\n\r\n");
      await wire.send(switched("echo"));
      // Not until the other side has read: the worker holds some of it.
      void wire.send(BIG).then(() => wire.close(), () => undefined);
    }); // prettier-ignore
    const carrying = carryTo(upstream);
    const client = await carrying.connect();
    client.pause();
    await client.send(request("echo"));
    client.finish();
    await until(() => upstream.wires[0]?.ended === "end");
    expect(carrying.released()).toBe(0);
    // Its route goes: what is open ends.
    carrying.attempts[0]?.stop();
    client.resume();
    expect(await client.end()).toBe("reset");
    await until(() => carrying.released() === 1);
  });

  test("that is asked to close within a frame keeps a Close that comes behind it", async () => {
    const upstream = switching("websocket");
    const carrying = carryTo(upstream);
    const client = await opened(carrying);
    const { wire } = await upstream.request();
    const frame = frameBytes(TEXT, "abc", true);
    const bye = frameBytes(8, closeBytes(1000, "bye"), true);
    await client.send(frame.subarray(0, 7));
    await wire.wait(() => wire.text().length === 7, "the begin of a frame");
    carrying.attempts[0]?.drain?.(false);
    // The end of the frame and the begin of a Close in one read.
    await client.send(Buffer.concat([frame.subarray(7), bye.subarray(0, 6)]));
    await wire.wait(() => wire.text().length === frame.length + 6, "the begin of the Close");
    await client.send(bye.subarray(6));
    client.finish();
    expect(await wire.rest()).toEqual(Buffer.concat([frame, bye]));
  });

  test("holds nothing of the request that it began with", async () => {
    const carrying = carryTo(switching("websocket"));
    const clients = await Promise.all([opened(carrying), opened(carrying), opened(carrying)]);
    const heads = carrying.heads.splice(0).map((head) => new WeakRef(head));
    // A machine word that still looks like one of them would keep it: one of three is enough.
    await until(() => {
      Bun.gc(true);
      return heads.some((head) => head.deref() === undefined);
    });
    expect(clients.map(({ ended }) => ended)).toEqual([null, null, null]);
  });

  test("whose client is gone and whose app takes nothing ends with its route", async () => {
    const upstream = listen(async (wire) => {
      await wire.readThrough("\r\n\r\n");
      await wire.send(switched("echo"));
      wire.finish();
      wire.pause();
    });
    const carrying = carryTo(upstream);
    const client = await carrying.connect();
    await client.send(request("echo"));
    await client.readThrough("\r\n\r\n");
    // More than the way to the app holds, so that the worker has some of it.
    const most = 64 * 1024 * 1024;
    void client.send(Buffer.alloc(most)).then(() => client.finish(), () => undefined); // prettier-ignore
    await until(() => client.ended === "end");
    client.reset();
    carrying.attempts[0]?.stop();
    await until(() => carrying.released() === 1);
  });
});
