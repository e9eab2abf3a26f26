/** What the engine on raw sockets makes of single messages: targets, trailers, lengths, line ends. */
import { describe, expect, test } from "bun:test";
import { mayTrail } from "../../../../worker/http/headers.ts";
import { answer, app, listen } from "../../../contract/upstreams.ts";
import { carryTo } from "./carrying.ts";

describe("a target", () => {
  test.each([
    ["GET http://me?x=1", "/?x=1"],
    ["GET http://me", "/"],
    ["GET HTTP://me/a", "/a"],
    ["OPTIONS http://me", "*"],
    ["OPTIONS *", "*"],
  ])("%s is asked for as %s", async (asked, expected) => {
    const upstream = app(({ wire }) => wire.send(answer(200)));
    const client = await carryTo(upstream).connect();
    await client.send(`${asked} HTTP/1.1\r\nHost: me\r\n\r\n`);
    expect((await client.head()).status).toBe(200);
    expect((await upstream.request()).head.target).toBe(expected);
  });

  test.each(["GET a", "GET *", "GET ftp://me/", "GET me:80", "GET ?x", "GET //", "POST *"])("%s is told as it is or refused", async (asked) => {
    const upstream = app(({ wire }) => wire.send(answer(200)));
    const client = await carryTo(upstream).connect();
    await client.send(`${asked} HTTP/1.1\r\nHost: me\r\n\r\n`);
    expect((await client.head()).status).toBe(asked === "GET //" ? 200 : 400);
  }); // prettier-ignore
});

describe("trailers", () => {
  const TRAILERS = [
    "X-Sum: 1", "Grpc-Status: 0", "Content-Length: 3", "Set-Cookie: a=b", "Cookie: a=b", "Authorization: x",
    "X-Forwarded-For: 1.2.3.4", "X_Forwarded_For: 1.2.3.4", "Host: other", "Proxy-Authorization: x", "X-RStudio-Proto: x",
  ]; // prettier-ignore
  const BODY = `2\r\nhi\r\n0\r\n${TRAILERS.map((line) => `${line}\r\n`).join("")}\r\n`;

  test("of an answer pass but for those that count in a head alone", async () => {
    const upstream = app(({ wire }) => wire.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${BODY}`));
    const client = await carryTo(upstream, { mayTrail }).connect();
    await client.send("GET / HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n");
    expect((await client.rest()).toString("latin1")).toEndWith("0\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\n");
  });

  test("of a request likewise", async () => {
    const upstream = listen(async (wire) => {
      await wire.readThrough("0\r\n");
      await wire.send(answer(200, [], (await wire.readThrough("\r\n\r\n")) ?? ""));
    });
    const client = await carryTo(upstream, { mayTrail }).connect();
    await client.send(`POST / HTTP/1.1\r\nHost: me\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${BODY}`);
    expect((await client.rest()).toString("latin1")).toEndWith("\r\n\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\n");
  });
});

describe("an answer", () => {
  test.each(["204 No Content", "101 Switching Protocols"])("%s passes without a length", async (status) => {
    const upstream = app(({ wire }) =>
      wire.send(`HTTP/1.1 ${status}\r\nUpgrade: echo\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n`),
    );
    const client = await carryTo(upstream).connect();
    await client.send("GET / HTTP/1.1\r\nHost: me\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    const head = await client.head();
    expect([String(head.status), head.get("content-length")]).toEqual([status.slice(0, 3), null]);
  });

  test.each(["HTTP/1.1 200 OK\nContent-Length: 0\n\n", "\nHTTP/1.1 200 OK"])("whose lines end with LF alone is refused at once: %j", async (bytes) => {
    const upstream = listen((wire) => wire.readThrough("\r\n\r\n").then(() => wire.send(bytes)));
    const client = await carryTo(upstream).connect();
    await client.send("GET / HTTP/1.1\r\nHost: me\r\n\r\n");
    expect((await client.head()).status).toBe(502);
  }); // prettier-ignore

  test("of ten thousand trailers passes whole", async () => {
    const lines = Array.from({ length: 10_000 }, (_, at) => `a${at % 10}:\r\n`);
    const upstream = listen(async (wire) => {
      await wire.readThrough("\r\n\r\n");
      await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
      for (let at = 0; at < lines.length; at += 100) await wire.send(lines.slice(at, at + 100).join(""));
      await wire.send("\r\n");
    });
    const client = await carryTo(upstream).connect();
    await client.send("GET / HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n");
    expect((await client.rest()).toString("latin1").match(/a\d:\r\n/g)?.length).toBe(10_000);
  });
});

describe("a core's own answer", () => {
  test("with a value that is no line is a failure, and nothing of it goes out", async () => {
    const upstream = app(({ wire }) => wire.send(answer(200)));
    const client = await carryTo(upstream, { set: [["X-A", "a\r\nX-B: c"]] }).connect();
    await client.send("GET / HTTP/1.1\r\nHost: me\r\n\r\n");
    const head = await client.head();
    expect([head.status, head.get("x-b")]).toEqual([500, null]);
  });
});
