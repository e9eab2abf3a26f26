/** The routes of a circuit: which are used, which are out, what is kept when they change, what runs over them. */
import { describe, expect, test } from "bun:test";
import type { Route } from "../../../shared/protocol/schema/circuit.ts";
import { RouteAttempt } from "../../../worker/upstreams/attempt.ts";
import { UpstreamFault } from "../../../worker/net/upstream-fault.ts";
import { RoutePool, type Upstream, type PoolSettings } from "../../../worker/upstreams/pool.ts";
import { route, untold } from "../../support/values.ts";
import { judged } from "../../../worker/net/targets.ts";

const at = (port: number, over: Partial<Route> = {}) => route({ kernel_port: port, ...over });

/** A pool of these routes that takes note of what goes out. */
function poolOf(routes: Route[], over: Partial<PoolSettings> = {}) {
  const out: Upstream[] = [];
  const pool = new RoutePool({
    policy: "round_robin",
    now: () => 1000,
    random: () => 0,
    targets: judged,
    out: (one) => out.push(one),
    ...over,
  });
  pool.set(routes, 0);
  return { pool, out: () => out.map(({ route: { kernel_port: port } }) => port) };
}

const pick = (pool: RoutePool): Upstream => pool.pick() ?? missing();
const ports = (pool: RoutePool, count: number) =>
  Array.from({ length: count }, () => pool.pick()?.route.kernel_port ?? null);
const attempt = (pool: RoutePool, tried?: Set<Upstream>) =>
  new RouteAttempt(pool, pick(pool), untold, "request", tried);

const UNREACHABLE = new UpstreamFault("unreachable", "refused");
/** Of a request of which nothing has gone out. */
const FRESH = { hasBody: false, clientGone: false, stale: false };

function missing(): never {
  throw new Error("the pool gives no upstream");
}

function fails(pool: RoutePool, upstream: Upstream, times: number): void {
  for (let time = 0; time < times; time++) pool.connectFailed(upstream);
}

describe("a route", () => {
  test("that goes ends what is kept for it, once", () => {
    const { pool } = poolOf([at(1), at(2)]);
    const closed: string[] = [];
    for (const [which, { kept }] of pool.upstreams.entries()) kept.push({ close: () => void closed.push(`${which}`) });
    pool.set([at(2)], 0);
    pool.set([at(2)], 0);
    expect(closed).toEqual(["0"]);
  });

  test("that is named twice is one, and nothing that runs over it is lost sight of", () => {
    const { pool } = poolOf([at(1), at(1)]);
    attempt(pool);
    attempt(pool);
    pool.set([at(1), at(1)], 0);
    expect(pool.open).toBe(2);
    expect([...pool.carried()].length).toBe(2);
  });

  test("is left out after three failures in a row, and told of once", () => {
    const { pool, out } = poolOf([at(1), at(2)]);
    const first = pick(pool);
    fails(pool, first, 2);
    expect([ports(pool, 2), out()]).toEqual([[2, 1], []]);
    fails(pool, first, 4);
    expect([ports(pool, 2), out()]).toEqual([[2, 2], [1]]);
  });

  test("is used again as soon as it has accepted a connection, with a clean count", () => {
    const { pool, out } = poolOf([at(1), at(2)]);
    const first = pick(pool);
    fails(pool, first, 3);
    pool.connected(first);
    expect(new Set(ports(pool, 4))).toEqual(new Set([1, 2]));
    fails(pool, first, 2);
    expect(new Set(ports(pool, 4))).toEqual(new Set([1, 2]));
    fails(pool, first, 1);
    expect([ports(pool, 2), out()]).toEqual([
      [2, 2],
      [1, 1],
    ]);
  });

  test("that is the only one is never left out; one without traffic does not count as another", () => {
    for (const routes of [[at(1)], [at(1), at(2, { traffic_ratio: 0 })]]) {
      const { pool, out } = poolOf(routes);
      fails(pool, pick(pool), 9);
      expect([ports(pool, 2), out()]).toEqual([[1, 1], []]);
    }
  });

  test("that has been out longest is tried when all are out, and then the next", () => {
    const { pool } = poolOf([at(1), at(2), at(3)]);
    const upstreams = [pick(pool), pick(pool), pick(pool)];
    for (const one of upstreams.toReversed()) fails(pool, one, 3);
    const tried = Array.from({ length: 4 }, () => {
      const next = pick(pool);
      pool.connectFailed(next);
      return next.route.kernel_port;
    });
    expect(tried).toEqual([3, 2, 1, 3]);
  });

  test("of which the rest is gone is used although it is out", () => {
    const { pool } = poolOf([at(1), at(2)]);
    fails(pool, pick(pool), 3);
    pool.set([at(1)], 0);
    expect(ports(pool, 1)).toEqual([1]);
  });

  test("that never accepted a connection may be starting for 60 s", () => {
    let now = 0;
    const { pool } = poolOf([at(1)], { now: () => now });
    const upstream = pick(pool);
    now = 59_999;
    expect(pool.mayStart(upstream)).toBe(true);
    now = 60_000;
    expect(pool.mayStart(upstream)).toBe(false);
    now = 0;
    pool.connected(upstream);
    expect(pool.mayStart(upstream)).toBe(false);
  });
});

describe("a new set", () => {
  test("keeps the records of routes that stay, with their new weights", () => {
    const { pool } = poolOf([at(1), at(2), at(3)]);
    fails(pool, pick(pool), 3);
    expect(pool.set([at(1), at(2), at(3, { traffic_ratio: 3 })], 0)).toEqual([]);
    expect(ports(pool, 4).toSorted()).toEqual([2, 3, 3, 3]);
  });

  test.each<[string, Partial<Route>]>([
    ["route_id", { route_id: "22222222-0000-4000-8000-000000000000" }],
    ["session", { session_id: "22222222-0000-4000-8000-000000000000" }],
    ["host", { kernel_host: "10.9.9.9" }],
    ["port", { kernel_port: 9 }],
  ])("with another %s in a route: a new kernel with a clean record", (_what, over) => {
    const { pool } = poolOf([at(1), at(2)]);
    const first = pick(pool);
    fails(pool, first, 3);
    expect(pool.set([at(1, over), at(2)], 0)).toEqual([first]);
    expect(new Set(ports(pool, 4))).toEqual(new Set([over.kernel_port ?? 1, 2]));
    // What still comes of the old one changes nothing.
    fails(pool, first, 3);
    pool.connected(first);
    expect(new Set(ports(pool, 4))).toEqual(new Set([over.kernel_port ?? 1, 2]));
  });

  test("counts what runs over routes that are gone until it ends", () => {
    const { pool } = poolOf([at(1)]);
    const running = attempt(pool);
    pool.set([at(2)], 0);
    expect([pool.open, [...pool.carried()]]).toEqual([1, [running]]);
    running.release();
    running.release();
    expect([pool.open, [...pool.carried()]]).toEqual([0, []]);
  });
});

describe("an attempt", () => {
  test("is open from the start until its release", () => {
    const { pool } = poolOf([at(1)]);
    const running = attempt(pool);
    expect(pool.open).toBe(1);
    running.release();
    expect(pool.open).toBe(0);
  });

  test("goes to each other route once, the ones that are out last", () => {
    const { pool } = poolOf([at(1), at(2), at(3)]);
    fails(pool, pick(pool), 3);
    const seen: number[] = [];
    for (let next: RouteAttempt | null = attempt(pool); next !== null; next = next.next(UNREACHABLE, FRESH))
      seen.push(next.target.port);
    expect(seen).toEqual([2, 3, 1]);
    expect(pool.open).toBe(0);
  });

  test("whose route goes is stopped, also when the engine says how only later", () => {
    const { pool } = poolOf([at(1)]);
    const [early, late] = [attempt(pool), attempt(pool)];
    let stopped = "";
    early.stop = () => void (stopped += "early");
    for (const one of [early, late]) one.close();
    expect(stopped).toBe("early");
    late.stop = () => void (stopped += " late");
    expect(stopped).toBe("early late");
  });

  test("over a connection that its app was closing goes over the same route once more, as long as it is there", () => {
    const { pool } = poolOf([at(1), at(2)]);
    const broken = new UpstreamFault("broken", "closed");
    const first = attempt(pool);
    const again = first.next(broken, { ...FRESH, stale: true });
    expect([again?.target.port, pool.open]).toEqual([1, 1]);
    pool.set([at(2)], 0);
    expect(again?.next(broken, { ...FRESH, stale: true })).toBeNull();
  });

  test("tells once that it is over: not while another one follows for the same request", () => {
    const { pool } = poolOf([at(1), at(2)]);
    let over = 0;
    const counted = () => {
      const one = attempt(pool);
      one.ended = () => over++;
      return one;
    };
    const released = counted();
    released.release();
    released.release();
    expect(over).toBe(1);
    const second = counted().next(UNREACHABLE, FRESH);
    expect([second === null, over]).toEqual([false, 1]);
    second?.release();
    expect(over).toBe(2);
    const last = counted().next(UNREACHABLE, FRESH);
    expect([last?.next(UNREACHABLE, FRESH), over]).toEqual([null, 3]);
    last?.release();
    expect(over).toBe(3);
  });

  test("over a connection that was kept says nothing of those that can't be made", () => {
    const { pool, out } = poolOf([at(1), at(2)]);
    const upstream = pick(pool);
    fails(pool, upstream, 2);
    const kept = new RouteAttempt(pool, upstream, untold, "request");
    kept.connected(false);
    expect(pool.answers).toBe(1);
    fails(pool, upstream, 1);
    expect(out()).toEqual([1]);
  });

  test("reports how its own route did", () => {
    const { pool, out } = poolOf([at(1), at(2)]);
    const running = attempt(pool);
    for (let time = 0; time < 3; time++) running.next(UNREACHABLE, { ...FRESH, hasBody: true });
    expect(out()).toEqual([1]);
    running.connected(true);
    expect(new Set(ports(pool, 2))).toEqual(new Set([1, 2]));
  });
});
