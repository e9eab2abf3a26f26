/**
 * Errors that nobody expected, in every way in to a worker: the page says that the log has the details, and it has. The
 * worker is real; one of the parts that it is given throws.
 */
import { afterAll, expect, test } from "bun:test";
import { pino } from "pino";
import { createCodec } from "../../shared/protocol/envelope.ts";
import { memoryMessengers } from "../../shared/redis/messengers.ts";
import { createShutdown } from "../../shared/runtime/process.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { loadWorkerConfig } from "../../worker/config.ts";
import { bunEngine } from "../../worker/engine/bun/engine.ts";
import type { Core, Engine, RequestHead } from "../../worker/seam/engine.ts";
import { startWorker, type Worker } from "../../worker/worker.ts";
import { startFakeCoordinator, type FakeCoordinator } from "../support/fake-coordinator.ts";
import { API_SECRET } from "../support/manager.ts";
import { freeRange } from "../support/ports.ts";
import { workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import { circuit } from "../support/values.ts";

type Lines = Record<string, unknown>[];

interface Broken {
  worker: Worker;
  lines: Lines;
  coordinator: FakeCoordinator;
  port: number;
}

/** An engine whose core is another one. */
const withCore = (change: <C>(core: Core<C>) => Core<C>): Engine => ({
  ...bunEngine,
  listen: (options, core) => bunEngine.listen(options, change(core)),
  listenTcp: (options, core) => bunEngine.listenTcp(options, change(core)),
});

/** A head that breaks when a header is read. */
function brokenHead(head: RequestHead): RequestHead {
  const header = () => {
    throw new Error("the head is broken");
  };
  return new Proxy(head, { get: (whole, name) => (name === "header" ? header : Reflect.get(whole, name, whole)) });
}

const shutdown = createShutdown();
afterAll(() => shutdown.run());

async function start(engine: Engine, protocol: "http" | "tcp"): Promise<Broken> {
  const lines: Lines = [];
  const log = pino({ level: "debug" }, { write: (line) => void lines.push(JSON.parse(line) as Lines[number]) });
  const messengers = memoryMessengers(silentLog());
  const theirs = messengers(createCodec(API_SECRET, false));
  const { bus, live, close } = messengers(createCodec(API_SECRET, false));
  const coordinator = await startFakeCoordinator(theirs.bus);
  const port = await freeRange(2);
  const { values: config } = loadWorkerConfig("w", workerToml(coordinator.url, port, 2, { worker: { protocol } }), {});
  const healthy = () => {
    throw new Error("the bus is broken");
  };
  const parts = { config, engine, live, log, now: Date.now, newId: () => crypto.randomUUID() };
  const worker = startWorker({ ...parts, bus: { ...bus, healthy } });
  for (const stop of [() => theirs.close(), () => coordinator.stop(), close, () => worker.stop()]) shutdown.add(stop);
  await worker.ready;
  await coordinator.put(circuit({ port, protocol, open_to_public: true, user_id: null }));
  return { worker, lines, coordinator, port };
}

/** The line at `error` that tells of an answer's failure. */
function toldOf(lines: Lines, answer: Response): Lines[number] | undefined {
  return lines.find((line) => line["level"] === 50 && line["error_id"] === answer.headers.get("x-error-id"));
}

const DETAILS = "Unexpected error; the log has its details";

test("the worker's API tells of one in full, and its answer names the line", async () => {
  const { worker, lines } = await start(bunEngine, "http");
  const answer = await fetch(`http://127.0.0.1:${worker.apiPort}/health?token=secret`);
  expect([answer.status, ((await answer.json()) as { msg: string }).msg]).toEqual([500, DETAILS]);
  expect(toldOf(lines, answer)).toEqual(
    expect.objectContaining({
      msg: "request failed",
      method: "GET",
      url: "/health?token=…",
      status: 500,
      reason: DETAILS,
      cause: "the bus is broken",
      stack: expect.stringMatching(/^Error: the bus is broken\n\s+at .*unexpected-errors\.test\.ts/) as string,
    }),
  );
});

test("so does the core, of a request that it cannot decide", async () => {
  const engine = withCore((core) => ({ ...core, decide: (head) => core.decide(brokenHead(head)) }));
  const { lines, port } = await start(engine, "http");
  const answer = await fetch(`http://127.0.0.1:${port}/x`, { headers: { Accept: "text/html" } });
  expect(answer.status).toBe(500);
  expect(await answer.text()).not.toContain("the head is broken");
  expect(toldOf(lines, answer)).toEqual(
    expect.objectContaining({
      url: "/x",
      cause: "the head is broken",
      stack: expect.stringMatching(/^Error: the head is broken\n\s+at .*unexpected-errors\.test\.ts/) as string,
    }),
  );
});

test("and of an answer to a failure that fails itself", async () => {
  const engine = withCore((core) => ({
    ...core,
    failed: (failure, head, circuit) => core.failed(failure, brokenHead(head), circuit),
  }));
  const { lines, coordinator, port } = await start(engine, "http");
  await coordinator.put(circuit({ port, user_id: "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d" }));
  const answer = await fetch(`http://127.0.0.1:${port}/x`);
  expect([answer.status, ((await answer.json()) as { msg: string }).msg]).toEqual([500, DETAILS]);
  expect(toldOf(lines, answer)).toEqual(expect.objectContaining({ cause: "the head is broken", status: 500 }));
});

test("and of a decision that cannot be carried out", async () => {
  const answer = { status: 200, headers: [["bad header", "x"]] as [string, string][], body: "" };
  const engine = withCore((core) => ({ ...core, decide: () => ({ kind: "answer", answer }) }));
  const { lines, port } = await start(engine, "http");
  const answered = await fetch(`http://127.0.0.1:${port}/x`);
  expect([answered.status, ((await answered.json()) as { msg: string }).msg]).toEqual([500, DETAILS]);
  expect(toldOf(lines, answered)).toEqual(
    expect.objectContaining({
      url: "/x",
      cause: expect.stringContaining("bad header") as string,
      stack: expect.stringContaining("worker/engine/bun/engine.ts") as string,
    }),
  );
});

test("and of a TCP connection", async () => {
  const peer = () => {
    throw new Error("the arrival is broken");
  };
  const engine = withCore((core) => {
    let reads = 0;
    const admit: typeof core.admit = (arrival) =>
      core.admit({ port: arrival.port, get peer() { return reads++ === 0 ? peer() : arrival.peer; } }); // prettier-ignore
    return { ...core, admit };
  });
  const { lines, port } = await start(engine, "tcp");
  const closed = Promise.withResolvers<void>();
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data: () => undefined, close: () => closed.resolve(), error: () => closed.resolve() },
  });
  await closed.promise;
  const line = await until(() => lines.find(({ msg }) => msg === "connection failed"));
  expect(line).toEqual(
    expect.objectContaining({
      level: 50,
      port,
      cause: "the arrival is broken",
      stack: expect.stringContaining("unexpected-errors.test.ts") as string,
    }),
  );
});
