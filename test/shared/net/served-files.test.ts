/** Connections of `Bun.serve` that are ended because files grow scarce, and those that are not. Real servers, no flood. */
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { connect } from "node:net";
import { pino } from "pino";
import { dial } from "../../contract/client.ts";
import { closeWires } from "../../contract/wire.ts";
import { atEnd } from "../../support/at-end.ts";
import { until } from "../../support/until.ts";
import { Crowding } from "../../../shared/net/crowding.ts";
import { openFiles } from "../../../shared/net/file-limit.ts";
import { quietConnections } from "../../../shared/net/linux-accepted.ts";
import { ServedFiles } from "../../../shared/net/served-files.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: me\r\n\r\n";

/** A server whose worker may open as many files as are open now, and `more`. */
function serve(more: number) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const crowding = new Crowding(log);
  const files = new ServedFiles({ limit: (openFiles() ?? 0) + more, crowding, log });
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request, self) {
      const port = self.requestIP(request)?.port ?? 0;
      files.busy(port);
      if (request.url.endsWith("/slow")) await held;
      files.idle(port);
      return new Response("answered");
    },
  });
  const { port = 0 } = server;
  const noLonger = files.listens(port);
  atEnd(async () => {
    noLonger();
    crowding.stop();
    closeWires();
    await server.stop(true);
  });
  return { port, crowding, lines, release };
}

async function answered(port: number, target = "/") {
  const wire = await dial(port);
  await wire.send(REQUEST.replace("/", target));
  return wire;
}

test("those that have been quiet for longest go, never one whose request is under way", async () => {
  // Both ends are this process's: 84 files are over the mark.
  const { port, crowding, lines, release } = serve(84);
  const slow = await answered(port, "/slow");
  const first = await answered(port);
  await first.wait(() => first.received > 0, "an answer");
  // It had its answer, and is quiet for longest.
  await Bun.sleep(200);
  const others = [];
  for (let at = 0; at < 15; at++) others.push(await answered(port));
  await until(() => crowding.closed.client > 0);
  await first.wait(() => first.ended !== null, "the end");
  await until(() => crowding.closed.client >= 10);
  expect(slow.ended).toBe(null);
  release();
  await slow.wait(() => slow.received > 0, "an answer");
  expect(slow.text()).toEndWith("answered");
  expect(lines[0]).toMatchObject({ level: 40, files: expect.any(Number) });
});

/** Longer, and it is not dripping but quiet: on a busy machine it may be kept from saying anything. Milliseconds. */
const QUIET_MS = 80;

/** Says a little again and again until it is ended. Gives its port, and how long that took: milliseconds. */
async function drip(port: number, localPort?: number): Promise<{ local: number; lived: number }> {
  const at = localPort === undefined ? {} : { localPort };
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, ...at });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  const [began, local] = [performance.now(), socket.localPort ?? 0];
  let [said, silence] = [began, 0];
  const timer = setInterval(() => {
    silence = Math.max(silence, performance.now() - said);
    said = performance.now();
    socket.write("x");
  }, 20);
  // It may be reset.
  socket.on("error", () => undefined);
  // Its port is free at once.
  socket.on("end", () => socket.resetAndDestroy());
  await new Promise((resolve) => socket.once("close", resolve));
  clearInterval(timer);
  silence = Math.max(silence, performance.now() - said);
  return silence > QUIET_MS ? drip(port, local) : { local, lived: performance.now() - began };
}

/** One after the other from the same port; null where the system still keeps it for the first one. */
async function twice(port: number) {
  const first = await drip(port);
  const second = await drip(port, first.local).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return null;
    throw error;
  });
  return second === null ? null : ([first, second] as const);
}

test("each that drips has its time, also from a port that another one had", async () => {
  const { port } = serve(64);
  const taken = Array.from({ length: 10 }, () => openSync("/dev/null", "r"));
  atEnd(() => taken.forEach(closeSync));
  const [first, second] = await until(() => twice(port), 60_000, "a port that can be had again");
  expect(second.local).toBe(first.local);
  for (const { lived } of [first, second]) expect(lived).toBeGreaterThan(950);
});

test("nothing is ended while there are files", async () => {
  const { port, crowding } = serve(1000);
  const wires = [await answered(port), await answered(port)];
  for (const wire of wires) await wire.wait(() => wire.received > 0, "an answer");
  await Bun.sleep(500);
  expect([crowding.closed.client, wires.every(({ ended }) => ended === null)]).toEqual([0, true]);
});

test("a look tells the quiet connections of a port: their other end, and for how long", async () => {
  const { port } = serve(1000);
  const [one, other] = [await answered(port), await answered(port)];
  await one.wait(() => one.received > 0, "an answer");
  await other.wait(() => other.received > 0, "an answer");
  const end = 4096;
  await until(() => quietConnections(new Set([port]), 0, end).length === 2);
  const found = quietConnections(new Set([port]), 0, end);
  expect(found.map(({ peerPort }) => peerPort).toSorted()).toEqual([one.port, other.port].toSorted());
  await until(() => quietConnections(new Set([port]), 0, end).every(({ quietMs }) => quietMs > 50));
  expect(quietConnections(new Set([1]), 0, end)).toEqual([]);
});
