/** Looking at kernels that may be gone: who is looked at, how many at once, and what is told. */
import { beforeEach, describe, expect, test } from "bun:test";
import { silentLog } from "../../../shared/runtime/log.ts";
import type { RefusedReport } from "../../../shared/protocol/schema/api.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import type { ProbeResult } from "../../../worker/net/probe-tcp.ts";
import { createRefusals, type Refusals } from "../../../worker/health/gone-kernels.ts";
import type { Table } from "../../../worker/circuits/table.ts";
import { until } from "../../support/until.ts";
import { circuit, newTable, route } from "../../support/values.ts";

const OLD = Date.parse("2026-08-23T00:00:00.000Z");
const KERNELS = 100;

let clock: number;
let table: Table;
let refusals: Refusals;
/** What comes of a connection to a port; others stay open-ended. */
let answers: Map<number, ProbeResult>;
let probed: number[];
let reports: [string, RefusedReport][];
/** TcpAllowlist that have no answer yet. */
let waiting: Map<number, (result: ProbeResult) => void>;
let report: () => Promise<void>;

beforeEach(() => {
  clock = OLD + 3_600_000;
  table = newTable({ now: () => clock });
  [answers, probed, reports, waiting] = [new Map(), [], [], new Map()];
  report = async () => undefined;
  refusals = createRefusals({
    table,
    probe: async (_host, port) => {
      probed.push(port);
      return answers.get(port) ?? new Promise((resolve) => void waiting.set(port, resolve));
    },
    report: async (id, told) => {
      reports.push([id, told]);
      await report();
    },
    log: silentLog(),
    now: () => clock,
  });
});

const ID = (n: number) => `00000${String(n).padStart(3, "0")}-0000-4000-8000-000000000000`;
const to = (port: number, over: Parameters<typeof route>[0] = {}) => route({ kernel_port: port, ...over });
const app = (n: number, ...ports: number[]) => circuit({ id: ID(n), port: 10_000 + n, revision: n, route_info: ports.map((port) => to(port)) }); // prettier-ignore
const model = (n: number, routes: Circuit["route_info"], over: Partial<Circuit> = {}) => circuit({ id: ID(n), port: 10_000 + n, revision: n, app_mode: "inference", route_info: routes, ...over }); // prettier-ignore
const put = (...all: Circuit[]) => {
  for (const one of all) table.put(one);
  return all;
};
const told = () =>
  reports.map(([id, { revision, routes }]) => [id, revision, routes.map(({ kernel_port: port }) => port)]);
/** An answer to everything that is asked for before it, because looks are answered in order. */
async function settled(): Promise<void> {
  answers.set(65_000, "refused");
  refusals.probe(put(app(999, 65_000)));
  await until(() => reports.some(([id]) => id === ID(999)));
  reports = reports.filter(([id]) => id !== ID(999));
}

describe("a kernel that may be gone", () => {
  test.each<[ProbeResult, number]>([["refused", 1], ["accepted", 0], ["unknown", 0]])("and %s is told of %d times", async (result, times) => {
    answers.set(1, result);
    refusals.probe(put(app(1, 1)));
    await until(() => probed.length === 1);
    await settled();
    expect(told()).toEqual(times === 0 ? [] : [[ID(1), 1, [1]]]);
  }); // prettier-ignore

  test("is looked at among the routes in question only, and told of with the table's revision", async () => {
    for (const [port, result] of [
      [1, "refused"],
      [2, "accepted"],
      [3, "refused"],
    ] as const)
      answers.set(port, result);
    const routes = [to(1, { route_id: ID(11) }), to(2, { route_id: ID(12) }), to(3, { route_id: ID(13) })];
    put(model(7, routes));
    refusals.probe([{ ...model(6, routes.slice(0, 2)), id: ID(7) }]);
    await settled();
    expect(probed.filter((port) => port < 65_000)).toEqual([1, 2]);
    expect(reports).toEqual([[ID(7), { revision: 7, routes: [{ route_id: ID(11), session_id: to(1).session_id, kernel_host: "10.1.2.3", kernel_port: 1 }] }]]); // prettier-ignore
  });

  test("is not looked at when its circuit or its route is not known here", async () => {
    put(app(1, 1));
    refusals.probe([app(2, 1), app(1, 2), { ...app(1, 1), route_info: [to(1, { session_id: ID(5) })] }]);
    await settled();
    expect(probed).toEqual([65_000]);
  });

  test("is not told of when it went, or its circuit changed its kernel, while it was looked at", async () => {
    refusals.probe(put(app(1, 1), app(2, 2)));
    await until(() => waiting.size === 2);
    table.remove(ID(1));
    put(app(2, 3));
    for (const done of waiting.values()) done("refused");
    await settled();
    expect(told()).toEqual([]);
  });

  test("of a coordinator that numbers nothing is left alone", async () => {
    answers.set(1, "refused");
    const { revision: _none, ...plain } = app(1, 1);
    refusals.probe(put(plain));
    await settled();
    expect(told()).toEqual([]);
  });
});

describe("an app that may not be up yet", () => {
  beforeEach(() => void answers.set(1, "refused"));

  test("is left alone in its first minute, until it was reached", async () => {
    clock = OLD + 59_000;
    const asked = put(app(1, 1));
    refusals.probe(asked);
    await settledLater();
    expect(told()).toEqual([]);
    const { pool } = table.byId(ID(1)) ?? {};
    const [upstream] = pool?.upstreams ?? [];
    if (upstream !== undefined) pool?.connected(upstream);
    refusals.probe(asked);
    await until(() => reports.length === 1);
    expect(told()).toEqual([[ID(1), 1, [1]]]);
  });

  test("is left alone for as long as its health check waits", async () => {
    const health_check = { interval: 10, path: "/health", max_retries: 10, max_wait_time: 15, expected_status_code: 200, initial_delay: 600 }; // prettier-ignore
    clock = OLD + 599_000;
    const asked = put(model(1, [to(1, { route_id: ID(11) })], { health_check }));
    refusals.probe(asked);
    await settledLater();
    expect(told()).toEqual([]);
    clock = OLD + 601_000;
    refusals.probe(asked);
    await until(() => reports.length === 1);
  });

  /** As `settled`, where the circuit that proves it must be old enough. */
  async function settledLater(): Promise<void> {
    const at = clock;
    answers.set(65_000, "refused");
    const [proof] = put({ ...app(999, 65_000), created_at: new Date(OLD - 3_600_000).toISOString() });
    refusals.probe(proof === undefined ? [] : [proof]);
    await until(() => reports.length === 1);
    reports = [];
    clock = at;
  }
});

describe("many", () => {
  test("are looked at 32 at a time, each once however often it is asked for", async () => {
    const all = put(...Array.from({ length: KERNELS }, (_, at) => app(at, at + 1)));
    for (let time = 0; time < 5; time++) refusals.probe(all);
    await until(() => probed.length === 32);
    for (let done = 0; done < KERNELS; done++) {
      const [port, answer] = await until(() => [...waiting][0]);
      waiting.delete(port);
      answer(port % 2 === 0 ? "refused" : "accepted");
      expect(waiting.size).toBeLessThan(32);
    }
    await until(() => reports.length === KERNELS / 2);
    expect([probed.length, new Set(probed).size]).toEqual([KERNELS, KERNELS]);
  });

  test("may be asked for again after an answer that could not be told", async () => {
    answers.set(1, "refused");
    report = () => Promise.reject(new Error("the coordinator is away"));
    const asked = put(app(1, 1));
    refusals.probe(asked);
    await until(() => reports.length === 1);
    refusals.probe(asked);
    await until(() => reports.length === 2);
  });

  test("are looked at no more after the end", async () => {
    refusals.probe(put(app(1, 1)));
    await until(() => waiting.size === 1);
    refusals.stop();
    waiting.get(1)?.("refused");
    refusals.probe([app(1, 1)]);
    // Longer than all that is left to do takes.
    await new Promise((done) => setImmediate(done));
    expect([probed, reports]).toEqual([[1], []]);
  });
});
