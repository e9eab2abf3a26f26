/** Header lines that come again are read as if they were new ones: what stands before them may differ. */
import { expect, test } from "bun:test";
import { answer, app, listen } from "../../../contract/upstreams.ts";
import { carryTo } from "./carrying.ts";

test("the same lines under other request lines are other requests", async () => {
  const upstream = app(({ head, wire }) => wire.send(answer(200, [], `${head.method} ${head.target}`)));
  const client = await carryTo(upstream).connect();
  const said: string[] = [];
  for (const [method, target] of [
    ["GET", "/a"],
    ["GET", "/b"],
    ["DELETE", "/b"],
    ["GET", "http://me/c"],
  ] as const) {
    // prettier-ignore
    await client.send(`${method} ${target} HTTP/1.1\r\nHost: me\r\nAccept: x\r\n\r\n`);
    said.push((await client.body(await client.head())).bytes.toString());
  }
  expect(said).toEqual(["GET /a", "GET /b", "DELETE /b", "GET /c"]);
});

test("the same lines in HTTP/1.0 end the connection, and in HTTP/1.1 do not", async () => {
  const carrying = carryTo(app(({ wire }) => wire.send(answer(200))));
  const told: (string | null)[] = [];
  for (const version of ["1.1", "1.0", "1.1", "1.0"]) {
    const client = await carrying.connect();
    await client.send(`GET / HTTP/${version}\r\nHost: me\r\n\r\n`);
    told.push((await client.head()).get("connection"));
  }
  expect(told).toEqual([null, "close", null, "close"]);
});

test("lines that are refused are refused each time", async () => {
  const carrying = carryTo(app(({ wire }) => wire.send(answer(200))));
  for (const lines of ["Host: me\r\nHost: me\r\n", "Host: me\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Host : me\r\n"])
    for (let turn = 0; turn < 2; turn++) {
      const client = await carrying.connect();
      await client.send(`GET / HTTP/1.1\r\n${lines}\r\n`);
      expect((await client.head()).status).toBe(400);
    } // prettier-ignore
});

test("the same head of an answer ends where the method says", async () => {
  const HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: a\r\n\r\n";
  const upstream = app(({ head, wire }) => wire.send(head.method === "HEAD" ? HEAD : `${HEAD}hello`));
  const client = await carryTo(upstream).connect();
  const said: string[] = [];
  for (const method of ["GET", "HEAD", "HEAD", "GET", "GET"]) {
    await client.send(`${method} / HTTP/1.1\r\nHost: me\r\n\r\n`);
    const head = await client.head();
    expect(head.get("content-length")).toBe("5");
    said.push((await client.body(head, method)).bytes.toString());
  }
  expect(said).toEqual(["hello", "", "", "hello", "hello"]);
});

test("other changes to the same lines are made", async () => {
  const upstream = listen(async (wire) => {
    for (;;) {
      const head = await wire.readThrough("\r\n\r\n");
      if (head === null) return;
      await wire.send(answer(200, [], /^X-Set: (.*)\r$/m.exec(head)?.[1] ?? "none"));
    }
  });
  for (const value of ["one", "two", "one"]) {
    const client = await carryTo(upstream, { set: [["X-Set", value]] }).connect();
    for (let turn = 0; turn < 2; turn++) {
      await client.send("GET / HTTP/1.1\r\nHost: me\r\n\r\n");
      expect((await client.body(await client.head())).bytes.toString()).toBe(value);
    }
  }
});
