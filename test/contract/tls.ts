/** F3: certificates that change while connections are open and being made. */
import { expect } from "bun:test";
import { connect, type TLSSocket } from "node:tls";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { until } from "../support/until.ts";
import { chunk } from "./message.ts";
import type { Shape } from "./shapes.ts";
import type { SlowLine } from "./slow.ts";
import type { Opened, Stage } from "./stage.ts";
import { answer, answering, app } from "./upstreams.ts";

/** For each shape, so that each has files of its own. */
export function tlsLines(shape: Shape): SlowLine[] {
  return [
    tlsLine(
      shape,
      "a renewal reaches new connections everywhere, all connections made around it are served, and open ones outlive it",
      renewal,
    ),
    tlsLine(shape, "files that can't be used keep the old certificate, and are told of once", badFiles),
  ];
}

// --- internal ---

function tlsLine(shape: Shape, sentence: string, work: (stage: Stage, files: Certificates) => Promise<void>): SlowLine {
  const files = startCertificates("first");
  return {
    line: "F3",
    sentence,
    in: (one) => one === shape,
    options: { worker: { tls_listen: true, tls_cert: files.cert, tls_privkey: files.key } },
    work: (stage) => work(stage, files).finally(() => files.remove()),
  };
}

async function renewal(stage: Stage, files: Certificates): Promise<void> {
  const { streaming, heard, chatting, socket, busy, kept } = await inTurn(() => renewUnderLoad(stage, files));
  const later = await open(stage, hello().port);
  expect(await certificate(later.port)).toBe("second");
  expect((await get(later)).body).toBe("hello");
  const api = await fetch(`https://127.0.0.1:${stage.apiPort()}/health/livez`, INSECURE);
  expect(api.status).toBe(200);
  // Long enough for what an old server would be closed with: a client may be sending over any connection that it keeps.
  await Bun.sleep(3000);
  expect(await exchange(kept, busy)).toMatch(/^HTTP\/1.1 200 [^]*\r\nconnection: close\r\n/i);
  await streaming.say("after");
  expect(await heard()).toBe("after");
  socket.send("still here");
  expect(await socket.heard()).toBe("still here");
  socket.close();
  await chatting.stop(true);
}

/** Gives what was open before. */
async function renewUnderLoad(stage: Stage, files: Certificates) {
  const streaming = endless();
  const chatting = webSocketEcho();
  const [to, chat, busy] = [
    await open(stage, streaming.port),
    await open(stage, chatting.port ?? 0),
    await open(stage, hello().port),
  ];
  const stream = await fetch(to.url("/"), { headers: { host: to.host }, ...INSECURE });
  const reader = stream.body?.getReader();
  const heard = async () => Buffer.from((await reader?.read())?.value ?? []).toString();
  expect(await heard()).toBe("before");
  const socket = await chatter(chat);
  const before = await certificate(busy.port);
  const kept = await secure(busy.port);
  expect(await exchange(kept, busy)).not.toMatch(/\r\nconnection: close\r\n/i);
  const load = made(busy, 500);
  // Else the first of them may come behind the renewal on a busy machine.
  await load.begun;
  files.issue("second");
  await Promise.all([stage.apiPort(), to.port, chat.port].map((port) => shows(port, "second")));
  expect(await load.names).toEqual(new Set([before, "second"]));
  return { streaming, heard, chatting, socket, busy, kept };
}

/**
 * One shape's load after the other. Bun's loop takes a few handshakes a turn, the newest first: with dozens under way all the
 * time in one process, some wait for longer than a worker waits for them.
 */
let turn: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const done = turn.then(work);
  turn = done.catch(() => undefined);
  return done;
}

async function badFiles(stage: Stage, files: Certificates): Promise<void> {
  const to = await open(stage, hello().port);
  const good = files.issue("good");
  await shows(to.port, "good");
  const other = startCertificates("other");
  const complaints = () => stage.lines.filter(({ msg }) => /can't be used/.test(String(msg))).length;
  for (const bad of [{ cert: "no certificate" }, { ...good, key: other.issue("other").key }]) {
    const before = complaints();
    files.write(bad);
    await until(() => complaints() > before);
    expect((await get(to)).name).toBe("good");
  }
  const told = complaints();
  files.issue("better");
  await shows(to.port, "better");
  expect(complaints()).toBe(told);
  other.remove();
}

const hello = () => answering(answer(200, [["Content-Type", "text/plain"]], "hello"));
const open = (stage: Stage, upstream: number) => stage.open({ upstream, public: true });

/** Resolves when new connections to a port get this certificate. */
const shows = (port: number, name: string) =>
  until(async () => (await certificate(port)) === name, RENEWED_MS, `port ${port} to show "${name}"`);

const INSECURE = { tls: { rejectUnauthorized: false } };

/** So long a worker may take to see new files on a busy machine. Milliseconds. */
const RENEWED_MS = 120_000;

/**
 * Connections, each with a request, until there are `count` and two certificates were seen; gives the certificates. `begun`:
 * there was one.
 */
function made(to: Opened, count: number): { begun: Promise<void>; names: Promise<Set<string>> } {
  const begun = Promise.withResolvers<void>();
  const names = new Set<string>();
  const end = performance.now() + RENEWED_MS;
  let asked = 0;
  const client = async () => {
    while (asked < count || names.size < 2) {
      asked++;
      if (performance.now() > end) throw new Error("the certificate was not renewed");
      const { status, body, name } = await get(to);
      expect([status, body]).toEqual([200, "hello"]);
      names.add(name);
      begun.resolve();
    }
  };
  const all = Promise.all(Array.from({ length: 8 }, client)).then(() => names);
  all.catch(begun.reject);
  return { begun: begun.promise, names: all };
}

/** Answers with a body that goes on with what it is told to say. */
function endless() {
  const upstream = app(async ({ wire }) => {
    await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    await wire.send(chunk("before"));
    await wire.end(60_000);
  });
  return { port: upstream.port, say: async (text: string) => (await upstream.request()).wire.send(chunk(text)) };
}

function webSocketEcho() {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no", { status: 400 })),
    websocket: { message: (socket, message) => void socket.send(message) },
  });
}

/** A WebSocket that is open. */
async function chatter(to: Opened) {
  const socket = new WebSocket(to.url("/").replace("https", "wss"), { headers: { Host: to.host }, ...INSECURE });
  const opened = Promise.withResolvers<void>();
  const heard = Promise.withResolvers<string>();
  socket.onopen = () => opened.resolve();
  socket.onclose = () => {
    opened.reject(new Error("the WebSocket was closed"));
    heard.reject(new Error("the WebSocket was closed"));
  };
  socket.onmessage = ({ data }) => heard.resolve(String(data));
  await opened.promise;
  heard.promise.catch(() => undefined);
  return {
    send: (text: string) => socket.send(text),
    heard: () => heard.promise,
    close: () => socket.close(),
  };
}

async function secure(port: number): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, resolve);
  socket.on("error", reject);
  await promise;
  return socket;
}

/** The name in the certificate that a new connection gets. */
async function certificate(port: number): Promise<string> {
  const socket = await secure(port);
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

/** One request on a connection that is there; its whole answer has a Content-Length or ends the connection. */
async function exchange(socket: TLSSocket, { host }: Opened): Promise<string> {
  let said = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const hear = (bytes: Buffer) => {
    said += bytes.toString("latin1");
    if (said.endsWith("hello")) resolve(said);
  };
  socket.on("data", hear);
  socket.once("close", () => reject(new Error(`the connection ended: ${JSON.stringify(said)}`)));
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  const answered = await promise;
  socket.off("data", hear);
  return answered;
}

/** One request on a connection of its own. */
async function get(to: Opened): Promise<{ status: number; body: string; name: string }> {
  const socket = await secure(to.port);
  const name = String(socket.getPeerCertificate().subject.CN);
  const said = await exchange(socket, to);
  socket.destroy();
  return { status: Number(said.split(" ")[1]), body: said.slice(said.indexOf("\r\n\r\n") + 4), name };
}
