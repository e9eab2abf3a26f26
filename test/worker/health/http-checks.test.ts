/** HTTP probes of kernels: when they are made, what they decide, and what the heartbeat tells of it. Time and answers are the test's. */
import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import { silentLog } from "../../../shared/runtime/log.ts";
import type { Circuit, Route } from "../../../shared/protocol/schema/circuit.ts";
import { healthCheckOf, type HealthCheckSpec } from "../../../shared/protocol/schema/health-check.ts";
import { createHealthChecks, reportRoutes, type HealthChecks } from "../../../worker/health/http-checks.ts";
import type { Target } from "../../../worker/net/targets.ts";
import type { Table } from "../../../worker/circuits/table.ts";
import { circuit, CIRCUIT, newTable, route } from "../../support/values.ts";

const A = "aaaaaaaa-0000-4000-8000-000000000001";
const B = "bbbbbbbb-0000-4000-8000-000000000001";
const START = Date.parse("2026-08-23T00:00:00.000Z");

let table: Table;
let checks: HealthChecks;
/** What kernels answer, by port; nothing: 200. A promise that never ends is an app that hangs. */
let answers: Map<number, () => Promise<number>>;
let targets: Target[];
let asked: { port: number; path: string; ms: number; at: number }[];

beforeEach(() => {
  jest.useFakeTimers({ now: START });
  answers = new Map();
  [asked, targets] = [[], []];
  checks = createHealthChecks({
    get(target, path, ms) {
      const { port } = target;
      targets.push(target);
      asked.push({ port, path, ms, at: Date.now() - START });
      return answers.get(port)?.() ?? Promise.resolve(200);
    },
    log: silentLog(),
    now: Date.now,
    random: () => 0.5,
  });
  table = newTable({ now: Date.now, changed: (entry) => checks.follow(entry) });
});
afterEach(() => {
  checks.stop();
  jest.useRealTimers();
});

const kernel = (id: string, port: number): Route => route({ route_id: id, kernel_port: port });
const both = [kernel(A, 1), kernel(B, 2)];

function put(wish: HealthCheckSpec | null, routes: Route[] = both, over: Partial<Circuit> = {}): void {
  const check = wish === null ? null : healthCheckOf({ initial_delay: 0, ...wish });
  table.put(circuit({ app_mode: "inference", route_info: routes, health_check: check, ...over }));
}

/** One of several model services. */
function service(at: number, wish: HealthCheckSpec, routes: Route[]): void {
  put(wish, routes, { id: `c1c1c1c1-0000-4000-8000-0000000000${10 + at}`, port: 10_205 + at });
}

const pool = () => {
  const entry = table.byId(CIRCUIT);
  if (entry === undefined) throw new Error("no circuit");
  return entry.pool;
};
const report = () => reportRoutes(table).find(({ circuit_id: id }) => id === CIRCUIT)?.routes.map(([id, status, at, failures]) => [id, status, at === null ? null : at - START / 1000, failures]); // prettier-ignore
/** Ports that get requests now. */
const used = () => [...new Set(Array.from({ length: 8 }, () => pool().pick()?.route.kernel_port))].toSorted();

/** Lets time pass in small steps, with what promises do in between. */
async function pass(seconds: number): Promise<void> {
  for (let left = seconds * 1000; left > 0; left -= 100) {
    jest.advanceTimersByTime(Math.min(100, left));
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }
}

describe("a probe", () => {
  test("comes within a second, then every interval, with the path and time of the check", async () => {
    put({ interval: 10, path: "ready?x=1", max_wait_time: 3 }, [kernel(A, 1)]);
    await pass(21);
    expect(asked).toEqual([
      { port: 1, path: "/ready?x=1", ms: 3000, at: 500 },
      { port: 1, path: "/ready?x=1", ms: 3000, at: 10_500 },
      { port: 1, path: "/ready?x=1", ms: 3000, at: 20_500 },
    ]);
  });

  test("is of the target that the kernel's traffic goes to: what is known of its addresses holds for both", async () => {
    put({ interval: 10 }, [kernel(A, 1)]);
    await pass(1);
    expect(targets).toHaveLength(1);
    expect(targets[0]).toBe(pool().upstreams[0]?.target);
  });

  test("is not made without a check, nor of routes without an id", async () => {
    put(null);
    await pass(30);
    put({ interval: 1 }, [route()]);
    await pass(30);
    expect([asked, report()]).toEqual([[], []]);
  });

  test("that finds the wanted status makes a kernel healthy", async () => {
    answers.set(1, () => Promise.resolve(204));
    put({ interval: 10, expected_status_code: 204 }, [kernel(A, 1)]);
    expect(report()).toEqual([[A, null, null, 0]]);
    await pass(1);
    expect(report()).toEqual([[A, "healthy", 0.5, 0]]);
  });

  test("is one at a time: a kernel that hangs is asked again only when it has answered or is late", async () => {
    let end = (_status: number): void => undefined;
    answers.set(1, () => new Promise((resolve) => (end = resolve)));
    put({ interval: 1 }, [kernel(A, 1)]);
    await pass(20);
    expect(asked).toHaveLength(1);
    end(200);
    await pass(0.1);
    expect([asked.length, report()?.[0]?.[1]]).toEqual([1, "healthy"]);
    await pass(1.1);
    expect(asked).toHaveLength(2);
  });
});

describe("a kernel that answers otherwise, or not at all", () => {
  test.each([
    ["500", () => Promise.resolve(500)],
    ["a redirect", () => Promise.resolve(302)],
    ["nothing", () => Promise.reject(new Error("no answer"))],
  ])("with %s, is left out after more failures in a row than max_retries, and comes back with the next good probe", async (_what, bad) => {
    answers.set(1, bad);
    put({ interval: 10, max_retries: 2 });
    await pass(11);
    expect([report()?.[0], used()]).toEqual([[A, null, 10.5, 2], [1, 2]]);
    await pass(10);
    expect([report()?.[0], used()]).toEqual([[A, "unhealthy", 20.5, 3], [2]]);
    answers.delete(1);
    await pass(10);
    expect([report()?.[0], used()]).toEqual([[A, "healthy", 30.5, 0], [1, 2]]);
  }); // prettier-ignore

  test("now and then stays in use: only failures in a row count", async () => {
    let calls = 0;
    answers.set(1, () => Promise.resolve(calls++ % 3 === 2 ? 200 : 500));
    put({ interval: 1, max_retries: 2 });
    await pass(30);
    expect([report()?.[0]?.[1], used()]).toEqual(["healthy", [1, 2]]);
  });

  test("gets traffic all the same when no other is left: a 503 without trying helps nobody", async () => {
    answers.set(1, () => Promise.resolve(500));
    answers.set(2, () => Promise.resolve(500));
    put({ interval: 1, max_retries: 0 });
    await pass(2);
    expect(report()?.map(([, status]) => status)).toEqual(["unhealthy", "unhealthy"]);
    // In turn, and not one alone.
    expect(used()).toEqual([1, 2]);
  });

  test("is forgiven while it starts, until it has been healthy once", async () => {
    answers.set(1, () => Promise.resolve(503));
    put({ interval: 1, max_retries: 0, initial_delay: 60 });
    await pass(59);
    expect([report()?.[0], used()]).toEqual([
      [A, null, 58.5, 0],
      [1, 2],
    ]);
    await pass(2);
    expect(report()?.[0]?.[1]).toBe("unhealthy");
    // The other one was well; its failures count at once.
    answers.set(2, () => Promise.resolve(503));
    await pass(1);
    expect(report()?.[1]?.[1]).toBe("unhealthy");
  });
});

describe("refused connections, besides", () => {
  test("leave a kernel out and show it as unhealthy, until a probe gets through", async () => {
    put({ interval: 10, max_retries: 5 });
    await pass(1);
    const [first] = pool().upstreams;
    if (first === undefined) throw new Error("no upstream");
    for (let failure = 0; failure < 3; failure++) pool().connectFailed(first);
    expect([report()?.[0], used()]).toEqual([[A, "unhealthy", 0.5, 3], [2]]);
    await pass(10);
    expect([report()?.[0], used()]).toEqual([
      [A, "healthy", 10.5, 0],
      [1, 2],
    ]);
  });

  test("show also the only kernel as unhealthy, which is used all the same", async () => {
    put({ interval: 10, max_retries: 5 }, [kernel(A, 1)]);
    await pass(1);
    const [only] = pool().upstreams;
    if (only === undefined) throw new Error("no upstream");
    for (let failure = 0; failure < 3; failure++) pool().connectFailed(only);
    expect([report()?.[0]?.[1], used()]).toEqual(["unhealthy", [1]]);
    pool().connected(only);
    expect(report()?.[0]?.[1]).toBe("healthy");
  });

  test("are all that is known of kernels without a check", () => {
    put(null);
    expect(report()?.map(([, status]) => status)).toEqual([null, null]);
    const [first, second] = pool().upstreams;
    if (first === undefined || second === undefined) throw new Error("no upstreams");
    pool().connected(first);
    for (let failure = 0; failure < 3; failure++) pool().connectFailed(second);
    expect(report()).toEqual([[A, "healthy", null, 0], [B, "unhealthy", null, 3]]); // prettier-ignore
  });
});

describe("when the endpoint changes", () => {
  test("a kernel that stays keeps its record, one that goes is asked no more, a new one is asked", async () => {
    answers.set(1, () => Promise.resolve(500));
    put({ interval: 10, max_retries: 0 });
    await pass(1);
    put({ interval: 10, max_retries: 0 }, [kernel(A, 1), kernel("cccccccc-0000-4000-8000-000000000001", 3)]);
    expect(report()?.map(([, status]) => status)).toEqual(["unhealthy", null]);
    asked = [];
    await pass(11);
    expect(asked.map(({ port }) => port)).toEqual([3, 1, 3]);
  });

  test("another check judges anew", async () => {
    answers.set(1, () => Promise.resolve(500));
    put({ interval: 10, max_retries: 0 });
    await pass(1);
    expect(used()).toEqual([2]);
    put({ interval: 10, max_retries: 0, expected_status_code: 500 });
    expect([report()?.map(([, status]) => status), used()]).toEqual([
      [null, null],
      [1, 2],
    ]);
    await pass(1);
    expect(report()?.map(([, status]) => status)).toEqual(["healthy", "unhealthy"]);
  });

  test("no check any more: nobody is asked, and nobody is left out for what it once answered", async () => {
    answers.set(1, () => Promise.resolve(500));
    put({ interval: 1, max_retries: 0 });
    await pass(2);
    put(null);
    asked = [];
    await pass(10);
    expect([asked, used()]).toEqual([[], [1, 2]]);
  });

  test.each(["remove", "stop"] as const)("%s: nobody is asked any more, also by what was under way", async (how) => {
    let end = (_status: number): void => undefined;
    answers.set(1, () => new Promise((resolve) => (end = resolve)));
    put({ interval: 1 });
    await pass(1);
    if (how === "remove") table.remove(CIRCUIT);
    else checks.stop();
    end(500);
    asked = [];
    await pass(10);
    expect(asked).toEqual([]);
  });
});

describe("of many kernels", () => {
  test("at most 512 are asked at once, and none is forgotten", async () => {
    const open: (() => void)[] = [];
    const many = Array.from({ length: 1200 }, (_, at) => kernel(crypto.randomUUID(), at + 1));
    for (const { kernel_port: port } of many)
      answers.set(port, () => new Promise((resolve) => open.push(() => resolve(200))));
    for (let at = 0; at < 12; at++) service(at, { interval: 1000 }, many.slice(at * 100, (at + 1) * 100));
    const seen: number[] = [];
    while (asked.length < many.length || open.length > 0) {
      await pass(1);
      seen.push(open.length);
      for (const answer of open.splice(0)) answer();
    }
    expect(Math.max(...seen)).toBe(512);
    await pass(1);
    const statuses = reportRoutes(table).flatMap(({ routes }) => routes.map(([, status]) => status));
    expect([statuses.length, new Set(statuses)]).toEqual([1200, new Set(["healthy"])]);
  });

  test("those of one service that hang do not keep another's waiting", async () => {
    const hung = Array.from({ length: 600 }, (_, at) => kernel(crypto.randomUUID(), at + 1));
    for (const { kernel_port: port } of hung) answers.set(port, () => new Promise(() => undefined));
    service(0, { interval: 10 }, hung);
    service(1, { interval: 10 }, [kernel(A, 1001)]);
    await pass(31);
    const ports = asked.map(({ port }) => port);
    expect([ports.filter((port) => port <= 600).length, ports.filter((port) => port === 1001).length]).toEqual([64, 4]);
  });

  test("at most 100,000 are reported", () => {
    for (let at = 0; at < 3; at++) {
      const routes = Array.from({ length: 40_000 }, (_, port) => kernel(crypto.randomUUID(), (port % 60_000) + 1));
      put(null, routes, { id: `c1c1c1c1-0000-4000-8000-00000000000${at}`, port: 10_205 + at });
    }
    expect(reportRoutes(table).map(({ routes }) => routes.length)).toEqual([40_000, 40_000, 20_000]);
  });

  test("apps of sessions are not among them", () => {
    table.put(circuit({ route_info: [kernel(A, 1)] }));
    expect(reportRoutes(table)).toEqual([]);
  });
});
