import { afterAll, expect, spyOn, test } from "bun:test";
import { connect } from "node:net";
import { startDemoApp } from "../../../scripts/run/demo-app.ts";
import { sha256 } from "../../support/app.ts";
import { until } from "../../support/until.ts";

const app = startDemoApp({ hostname: "127.0.0.1", port: 0 });
afterAll(() => app.stop());

const at = (path: string) => `http://127.0.0.1:${app.port}${path}`;
const GIB = 1024 ** 3;

test("the page asks for nothing from elsewhere and nothing by an absolute path", async () => {
  const answer = await fetch(at("/"));
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  const page = await answer.text();
  for (const panel of ["http", "events", "ws", "upload", "download"]) expect(page).toContain(`id="${panel}-result"`);
  expect(page).not.toMatch(/https?:\/\//);
  expect(page).not.toMatch(/(?:href|src)="\//);
});

test("hello tells method, path and headers as received", async () => {
  const answer = await fetch(at("/api/hello?x=1"), { method: "PUT", headers: { "X-Forwarded-For": "192.0.2.1" } });
  expect(await answer.json()).toMatchObject({
    method: "PUT",
    path: "/api/hello?x=1",
    headers: { "x-forwarded-for": "192.0.2.1" },
  });
});

test("events arrive one by one, and the timer ends with the client", async () => {
  const set = spyOn(globalThis, "setInterval");
  const cleared = spyOn(globalThis, "clearInterval");
  try {
    const leave = new AbortController();
    const answer = await fetch(at("/events"), { signal: leave.signal });
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    let received = "";
    await until(async () => {
      received += (await reader?.read())?.value ?? "";
      return received.split("\n\n").length > 2;
    });
    const counts = received.matchAll(/^data: (.+)$/gm).map((line) => JSON.parse(line[1] ?? "") as { count: number });
    expect([...counts].slice(0, 2)).toMatchObject([{ count: 1 }, { count: 2 }]);
    const timer = set.mock.results.at(-1)?.value;
    expect(timer).toBeDefined();
    const ended = () => cleared.mock.calls.some(([one]) => one === timer);
    expect(ended()).toBeFalse();
    leave.abort();
    await until(ended);
  } finally {
    set.mockRestore();
    cleared.mockRestore();
  }
});

test("a WebSocket gets text back as text and bytes as bytes", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${app.port}/ws`);
  socket.binaryType = "arraybuffer";
  const received: unknown[] = [];
  socket.addEventListener("message", ({ data }) => received.push(data));
  socket.addEventListener("open", () => {
    socket.send("grüß dich");
    socket.send(new Uint8Array([0, 128, 255]));
  });
  await until(() => received.length === 2);
  socket.close();
  expect(received[0]).toBe("grüß dich");
  expect(new Uint8Array(received[1] as ArrayBuffer)).toEqual(new Uint8Array([0, 128, 255]));
  expect((await fetch(at("/ws"))).status).toBe(426);
});

test("an upload is answered with its size and hash", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(3_000_000));
  const answer = await fetch(at("/upload"), { method: "POST", body: bytes });
  expect(await answer.json()).toEqual({ size: bytes.length, sha256: Bun.SHA256.hash(bytes, "hex") });
  const empty = await fetch(at("/upload"), { method: "POST" });
  expect(await empty.json()).toEqual({ size: 0, sha256: Bun.SHA256.hash("", "hex") });
});

test("an upload of more than a gibibyte is refused by its length", async () => {
  let received = "";
  const socket = connect(app.port, "127.0.0.1", () => {
    socket.write(`POST /upload HTTP/1.1\r\nHost: demo\r\nContent-Length: ${GIB + 1}\r\n\r\n`);
  });
  socket.on("data", (data) => (received += data.toString()));
  await until(() => received.includes("\r\n"));
  socket.destroy();
  expect(received).toStartWith("HTTP/1.1 413 ");
});

test("a download has the asked length and the announced hash, the same each time", async () => {
  for (const bytes of [0, 1, 65_536, 1_000_000]) {
    const answer = await fetch(at(`/download?bytes=${bytes}`));
    const announced = answer.headers.get("x-sha256");
    const content = await answer.bytes();
    expect(content).toHaveLength(bytes);
    expect(announced).toBe(Bun.SHA256.hash(content, "hex"));
    const again = await fetch(at(`/download?bytes=${bytes}`));
    expect(await sha256(again.body)).toBe(announced ?? "");
  }
});

test.each(["", "?bytes=", "?bytes=-1", "?bytes=1.5", "?bytes=1e6", `?bytes=${GIB + 1}`, "?bytes=99999999999"])(
  "a download%s is refused",
  async (query) => {
    const answer = await fetch(at(`/download${query}`));
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain(`from 0 to ${GIB}`);
  },
);

test.each(["/nothing", "/upload", "/events/", "/constructor"])("GET %s is not found", async (path) => {
  const answer = await fetch(at(path));
  expect(answer.status).toBe(404);
  expect(answer.headers.get("content-type")).toStartWith("text/plain");
  expect(await answer.text()).toContain(path);
});

test("stop ends open streams and frees the port", async () => {
  const other = startDemoApp({ hostname: "127.0.0.1", port: 0 });
  const cleared = spyOn(globalThis, "clearInterval");
  try {
    const stream = await fetch(`http://127.0.0.1:${other.port}/events`);
    await other.stop();
    // Cut or ended, the reader gets to an end either way.
    await stream.text().catch(() => "cut");
    await until(() => cleared.mock.calls.length > 0);
    await startDemoApp({ hostname: "127.0.0.1", port: other.port }).stop();
  } finally {
    cleared.mockRestore();
  }
});
