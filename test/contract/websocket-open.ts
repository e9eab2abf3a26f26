/** W1, W2: the app decides about a handshake, and both sides see each other's headers. */
import { describe, expect } from "bun:test";
import { ask, begin, dial, finalHead, requestHead } from "./client.ts";
import { FAR, farOf, farPassed } from "./http-headers.ts";
import { linesOf, useStage } from "./line.ts";
import { chunk, sha256 } from "./message.ts";
import type { Shape } from "./shapes.ts";
import { answer, app, echo, listen, refusingUpgrade, told, type Asked, type Upstream } from "./upstreams.ts";
import { acceptance, BINARY, connect, frameBytes, handshake, switching, TEXT, webSocketApp } from "./websocket-peer.ts";
import { owed } from "../support/owed.ts";

const LARGE = Buffer.alloc(8 * 1024 * 1024, "large ");

/** How apps refuse, each with the body that the client has to get. */
const REFUSALS: [name: string, status: number, send: (asked: Asked) => unknown, body: Uint8Array][] = [
  ["with Content-Length", 403, ({ wire }) => wire.send(answer("403 No", [["X-Why", "a"]], "not you")), Buffer.from("not you")],
  ["with a chunked body", 404, ({ wire }) => wire.send(`HTTP/1.1 404 No\r\nX-Why: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk("no ").toString()}${chunk("room").toString()}${chunk("").toString()}`), Buffer.from("no room")],
  ["with a body that ends with the connection", 500, (asked) => untilClose(asked, "HTTP/1.1 500 No\r\nX-Why: a\r\n\r\nfor good"), Buffer.from("for good")],
  ["with an empty body", 401, ({ wire }) => wire.send(answer("401 No", [["X-Why", "a"]])), Buffer.alloc(0)],
  ["without a body", 204, ({ wire }) => wire.send("HTTP/1.1 204 No\r\nX-Why: a\r\n\r\n"), Buffer.alloc(0)],
  ["after interim answers", 429, ({ wire }) => wire.send(`HTTP/1.1 103 Early\r\nX-Why: b\r\n\r\n${answer("429 No", [["X-Why", "a"]], "later").toString()}`), Buffer.from("later")],
  ["with a large body", 503, ({ wire }) => wire.send(answer("503 No", [["X-Why", "a"]], LARGE)), LARGE],
  ["by answering 200", 200, ({ wire }) => wire.send(answer("200 OK", [["X-Why", "a"]], "a page")), Buffer.from("a page")],
]; // prettier-ignore

/** What a browser would not take for an acceptance either. */
const FALSE_ACCEPTANCES: [name: string, make: (asked: Asked) => string][] = [
  ["accepts another key", () => switching([["Connection", "Upgrade"], ["Upgrade", "websocket"], ["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]])],
  ["uses an extension that nobody asked for", ({ head }) => acceptance(head, [["Sec-WebSocket-Extensions", "permessage-deflate"]])],
  ["upgrades to something else", ({ head }) => acceptance(head).replace("Upgrade: websocket", "Upgrade: h2c")],
  ["does not upgrade the connection", ({ head }) => acceptance(head).replace("Connection: Upgrade", "Connection: close")],
  ["answers no HTTP", () => "SSH-2.0-OpenSSH_9.9\r\n\r\n"],
]; // prettier-ignore

export function webSocketOpening(shape: Shape): void {
  const line = linesOf(shape);
  describe("a WebSocket's handshake", () => {
    const stage = useStage(shape, { ports: 128 });

    const reach = async ({ port }: Upstream) => stage().open({ upstream: port });

    for (const [name, status, send, body] of REFUSALS)
      line("W1", `passes a refusal ${name}`, async () => {
        const said = await ask(await reach(app(send)), "/", { headers: handshake() });
        expect([said.head.status, said.head.get("x-why")]).toEqual([status, "a"]);
        expect([said.body.complete, said.body.bytes.length, said.body.sha256]).toEqual([
          true,
          body.length,
          sha256(body),
        ]);
      });

    line("W1", "passes a refusal that comes slowly as it comes", async () => {
      const more = Promise.withResolvers<void>();
      const upstream = app(async ({ wire }) => {
        await wire.send(`HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n${chunk("first").toString()}`);
        await more.promise;
        await wire.send(`${chunk("second").toString()}${chunk("").toString()}`);
      });
      const client = await begin(await reach(upstream), "/", { headers: handshake() });
      const head = await finalHead(client);
      await client.wait(() => client.text().includes("first"), "the first chunk");
      more.resolve();
      expect((await client.body(head)).bytes.toString()).toBe("firstsecond");
    });

    line("W1", "shows a refusal that breaks off as an aborted transfer", async () => {
      const upstream = app(async ({ wire }) => {
        await wire.send("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nonly this");
        wire.close();
      });
      const said = await ask(await reach(upstream), "/", { headers: handshake() });
      expect([said.head.status, said.body.complete]).toEqual([403, false]);
    });

    line("W1", "answers 502 for an app that can't be reached", async () => {
      const upstream = echo();
      const to = await reach(upstream);
      await ask(to, "/");
      upstream.refuse();
      expect((await ask(to, "/", { headers: handshake() })).head.status).toBe(502);
    });

    line("W1", "answers 502 for an app that breaks off before it has answered", async () => {
      const upstream = app(({ wire }) => wire.reset());
      expect((await ask(await reach(upstream), "/", { headers: handshake() })).head.status).toBe(502);
    });

    line("W1", "passes a refusal with a status over 599", async () => {
      const upstream = app(({ wire }) => wire.send("HTTP/1.1 799 What\r\nContent-Length: 0\r\n\r\n"));
      expect((await ask(await reach(upstream), "/", { headers: handshake() })).head.status).toBe(799);
    }, { deviation: "statuses from 600 become 502" }); // prettier-ignore

    for (const [name, make] of FALSE_ACCEPTANCES)
      line("W1", `answers 502 for an app that ${name}, and leaves it`, async () => {
        const upstream = app((asked) => asked.wire.send(make(asked)));
        expect((await ask(await reach(upstream), "/", { headers: handshake() })).head.status).toBe(502);
        await (await upstream.request()).wire.end();
      });

    line("W1", "tells the client nothing until the app has answered", async () => {
      const may = Promise.withResolvers<void>();
      const upstream = app(async ({ wire, head }) => {
        await may.promise;
        await wire.send(acceptance(head));
      });
      const client = await begin(await reach(upstream), "/", { headers: handshake() });
      await upstream.request();
      // A whole other exchange with the worker takes its time meanwhile.
      expect((await ask(await reach(refusingUpgrade("403 No", "no")), "/", { headers: handshake() })).head.status).toBe(
        403,
      );
      expect(client.received).toBe(0);
      may.resolve();
      expect((await finalHead(client)).status).toBe(101);
    });

    line("W1", "ends the app's connection within 100 ms when the client leaves while the app thinks", async () => {
      const upstream = app(({ wire }) => wire.wait(() => wire.closed, "the end"));
      const client = await begin(await reach(upstream), "/", { headers: handshake() });
      const { wire } = await upstream.request();
      const left = performance.now();
      client.close();
      await wire.end();
      expect(performance.now() - left).toBeLessThan(owed(100));
    });

    line("W1", "ends the app's connection when the client leaves in the middle of a refusal", async () => {
      const upstream = app(async ({ wire }) => {
        await wire.send("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nonly this");
        await wire.wait(() => wire.ended !== null, "the end");
      });
      const client = await begin(await reach(upstream), "/", { headers: handshake() });
      await finalHead(client);
      client.close();
      await (await upstream.request()).wire.end();
    });

    line("W1", "loses nothing that the app sends together with its 101", async () => {
      const upstream = listen(async (wire) => {
        const head = await wire.head();
        await wire.send(Buffer.concat([Buffer.from(acceptance(head)), frameBytes(TEXT, "early", false)]));
      });
      const client = await connect(await reach(upstream));
      expect(await client.next()).toMatchObject({ opcode: TEXT, payload: Buffer.from("early") });
    });

    line("W2", "gives the app the client's headers, without the permit", async () => {
      const upstream = webSocketApp();
      const to = await reach(upstream);
      const origin = `http://${to.host}`;
      await connect(to, "/a%2Fb?x=%20", [["Cookie", `a=1; ${to.cookie}; b=2`], ["Origin", origin], ["Authorization", "Bearer mine"], ["X-Custom", "é".repeat(3)], ["Content-Length", "0"]]); // prettier-ignore
      const { head } = await upstream.peer();
      expect(head.target).toBe("/a%2Fb?x=%20");
      const seen = ["host", "origin", "authorization", "x-custom", "cookie", "upgrade", "connection", "sec-websocket-version", "content-length"]; // prettier-ignore
      expect(Object.fromEntries(seen.map((name) => [name, head.get(name)]))).toEqual({ host: to.host, origin, authorization: "Bearer mine", "x-custom": "é".repeat(3), cookie: "a=1; b=2", upgrade: "websocket", connection: "Upgrade", "sec-websocket-version": "13", "content-length": null }); // prettier-ignore
      expect(head.all("sec-websocket-key")).toHaveLength(1);
      expect(head.get("x-forwarded-for")).toBe("127.0.0.1");
      expect(head.get("forwarded")).toBe(`for=127.0.0.1;proto=http;host=${to.host}`);
    });

    line("W2", "offers the app no extension that it would have to read itself", async () => {
      const upstream = webSocketApp();
      await connect(await reach(upstream), "/", [["Sec-WebSocket-Extensions", "permessage-deflate"]]);
      expect((await upstream.peer()).head.get("sec-websocket-extensions")).toBeNull();
    }, { frames: "made anew" }); // prettier-ignore

    line("W2", "passes what the ends agree on: key, extensions", async () => {
      const upstream = webSocketApp(() => undefined, [["Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover"]]); // prettier-ignore
      const key = Buffer.alloc(16, "key").toString("base64");
      const own = handshake().filter(([name]) => name !== "Sec-WebSocket-Key");
      const offer = "permessage-deflate; client_max_window_bits";
      const wire = await begin(await reach(upstream), "/", { headers: [...own, ["Sec-WebSocket-Key", key], ["Sec-WebSocket-Extensions", offer]] }); // prettier-ignore
      const answered = await finalHead(wire);
      const { head } = await upstream.peer();
      expect([head.all("sec-websocket-key"), head.get("sec-websocket-extensions")]).toEqual([[key], offer]);
      expect([answered.status, answered.get("sec-websocket-extensions")]).toEqual([101, "permessage-deflate; server_no_context_takeover"]); // prettier-ignore
    }, { frames: "passed" }); // prettier-ignore

    line("W2", "gives the client the app's headers, with guarded cookies", async () => {
      const upstream = webSocketApp(() => undefined, [["X-App", "ü à"], ["Set-Cookie", "a=1; Path=/"], ["Set-Cookie", "b=2; Domain=example.com; Path=/"], ["Set-Cookie", "appproxy_permit_x=stolen"], ["Keep-Alive", "5"]]); // prettier-ignore
      const { head } = await connect(await reach(upstream));
      expect([head.get("x-app"), head.get("keep-alive")]).toEqual(["ü à", null]);
      expect(head.all("set-cookie")).toEqual(["a=1; Path=/", "b=2; Path=/"]);
      expect([head.all("upgrade"), head.all("connection"), head.all("sec-websocket-accept").length, head.all("date").length]).toEqual([["websocket"], ["Upgrade"], 1, 1]); // prettier-ignore
    });

    line(
      "W2",
      "passes of headers that reach further than the circuit what stays within it, in a refusal too",
      async () => {
        const upstream = webSocketApp(() => undefined, FAR);
        const { head } = await connect(await reach(upstream));
        const refusing = app(({ wire }) => wire.send(answer("403 No", FAR)));
        const refused = await ask(await reach(refusing), "/", { headers: handshake() });
        expect([head.status, refused.head.status]).toEqual([101, 403]);
        const passed = farPassed(shape.frontend === "wildcard");
        expect([farOf((name) => head.get(name)), farOf((name) => refused.head.get(name))]).toEqual([passed, passed]);
      },
    );

    for (const chosen of ["second", null])
      line("W2", `gives the client the subprotocol that the app has chosen: ${chosen ?? "none"}`, async () => {
        const upstream = webSocketApp(() => undefined, chosen === null ? [] : [["Sec-WebSocket-Protocol", chosen]]);
        const client = await connect(await reach(upstream), "/", [["Sec-WebSocket-Protocol", "first, second"]]);
        expect((await upstream.peer()).head.get("sec-websocket-protocol")).toBe("first, second");
        expect(client.head.all("sec-websocket-protocol")).toEqual(chosen === null ? [] : [chosen]);
      });

    line("W2", "takes a POST with Upgrade for a plain request", async () => {
      const said = await ask(await reach(echo()), "/", { method: "POST", headers: handshake(), body: "hello" });
      expect(said.head.status).toBe(200);
      const { line: first, pairs, length } = told(said.body);
      expect([first, length]).toEqual(["POST / HTTP/1.1", 5]);
      expect(pairs.filter(([name]) => name.toLowerCase() === "upgrade")).toEqual([]);
    });

    line("W2", "refuses a handshake that can't succeed without asking the app", async () => {
      const upstream = webSocketApp();
      const to = await reach(upstream);
      const without = (name: string) => handshake().filter(([one]) => one !== name);
      const old = await ask(to, "/", {
        headers: [...without("Sec-WebSocket-Version"), ["Sec-WebSocket-Version", "8"]],
      });
      expect([old.head.status, old.head.get("sec-websocket-version")]).toEqual([426, "13"]);
      expect((await ask(to, "/", { headers: without("Sec-WebSocket-Key") })).head.status).toBe(400);
      expect(upstream.asked).toHaveLength(0);
    });

    line("W2", "takes an Upgrade of HTTP/1.0 for none", async () => {
      const to = await stage().open({ upstream: echo().port });
      const client = await dial(to.port);
      await client.send(requestHead(to, "/", { headers: handshake() }).replace("HTTP/1.1", "HTTP/1.0"));
      const head = await finalHead(client);
      const names = told(await client.body(head)).pairs.map(([name]) => name.toLowerCase());
      expect([head.status, names.filter((name) => name === "upgrade")]).toEqual([200, []]);
    }, { deviation: "an Upgrade of HTTP/1.0 is taken" }); // prettier-ignore

    line("W2", "asks another route only when nothing has reached the app", async () => {
      const [dead, alive] = [echo(), webSocketApp()];
      dead.refuse();
      const to = await stage().open({ upstream: [dead.port, alive.port] });
      for (let at = 0; at < 3; at++) {
        const client = await connect(to);
        const peer = await alive.peer(at);
        await client.send(BINARY, "x");
        expect((await peer.next())?.payload.toString()).toBe("x");
      }
      const breaking = [app(({ wire }) => wire.reset()), app(({ wire }) => wire.reset())];
      const other = await stage().open({ upstream: breaking.map(({ port }) => port) });
      expect((await ask(other, "/", { headers: handshake() })).head.status).toBe(502);
      expect(breaking.map(({ asked }) => asked.length).toSorted()).toEqual([0, 1]);
    });

    line("W2", "takes a client that has no permit nowhere", async () => {
      const upstream = webSocketApp();
      const to = await reach(upstream);
      const wire = await dial(to.port);
      const lines = handshake([["Host", to.host]]).map(([name, value]) => `${name}: ${value}\r\n`);
      await wire.send(`GET / HTTP/1.1\r\n${lines.join("")}\r\n`);
      expect((await finalHead(wire)).status).toBe(401);
      expect(upstream.asked).toHaveLength(0);
    });
  });
}

// --- internal ---

async function untilClose({ wire }: Asked, bytes: string): Promise<void> {
  await wire.send(bytes);
  wire.close();
}
