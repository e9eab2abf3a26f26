/**
 * A worker that was taken over, with its own secret alone: it can do what concerns itself, and nothing for another worker, for
 * the Manager or for an operator; neither by calls nor by events.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createClient, type Client } from "../../../shared/client/client.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { operations } from "../../../shared/protocol/operations.ts";
import { workerSecret } from "../../../shared/protocol/worker-secret.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { startLoneCoordinator, type LoneCoordinator } from "../../support/lone-coordinator.ts";
import { API_SECRET, newKernel } from "../../support/manager.ts";
import { portRegistration } from "../../support/rows.ts";
import { ROOT } from "../../support/spawned.ts";
import { until } from "../../support/until.ts";

const OF_WORKERS = "the-root-of-workers-0123456789";
const NOBODY = "70707070-0000-4000-8000-000000000009";
/** What a worker's own secret opens; for all else it is none. */
const OWN_CALLS = ["PUT /api/worker", "PATCH /api/worker/{worker_id}", "DELETE /api/worker/{worker_id}", "GET /api/worker/{worker_id}/circuits", "POST /api/worker/{worker_id}/service-workers", "POST /api/circuit/{circuit_id}/refused"]; // prettier-ignore
const OPEN_CALLS = ["GET /", "GET /status", "GET /health", "GET /health/livez", "GET /health/readyz", "GET /metrics"];

/** A worker that a stranger has, and another one of the same coordinator. */
const [TAKEN, OTHER] = ["taken", "other"];
const secretOf = (authority: string) => workerSecret(OF_WORKERS, authority);

let site: LoneCoordinator;
let operator: Client<typeof operations>;
const clients = new Map<string, Client<typeof operations>>();
const ids = new Map<string, string>();

beforeAll(async () => {
  site = await startLoneCoordinator({
    secrets: { worker_secret: OF_WORKERS },
    coordinator: { circuit_ack_timeout: 60 },
  });
  const clientOf = (secret: string) => createClient(operations, { baseUrl: site.manager.baseUrl, secret });
  operator = clientOf(API_SECRET);
  for (const [at, authority] of [TAKEN, OTHER].entries()) {
    clients.set(authority, clientOf(secretOf(authority)));
    const filter = { key: "session.access_key", value: "nobody" };
    const more = authority === TAKEN ? { filtered_apps_only: true, app_filters: [filter] } : {};
    const body = portRegistration(authority, {
      port_range: [30_000 + at * 10, 30_009 + at * 10],
      node_id: "n",
      ...more,
    });
    ids.set(authority, (await client(authority).registerWorker({ body })).id);
  }
}, 60_000);
afterAll(() => site.stop());

const client = (authority: string): Client<typeof operations> => clients.get(authority) ?? operator;
const id = (authority: string): string => ids.get(authority) ?? NOBODY;
const status = (call: Promise<unknown>) => call.then(() => 200, (error: { status: number }) => error.status); // prettier-ignore

describe("by calls", () => {
  const of = (worker_id: string) => ({
    heartbeat: () => client(TAKEN).heartbeat({ worker_id, body: { node_id: "n" } }),
    circuits: () => client(TAKEN).getWorkerCircuits({ worker_id }),
    "service workers": () => client(TAKEN).noteServiceWorkers({ worker_id, body: { slots: [] } }),
    leaving: () => client(TAKEN).deregisterWorker({ worker_id, query: { node_id: "m" } }),
  });

  test.each(Object.keys(of("")))("%s: of itself, of no other, and of none that is not there", async (name) => {
    const all = [id(TAKEN), id(OTHER), id(OTHER).toUpperCase(), NOBODY].map((one) => of(one)[name as keyof ReturnType<typeof of>]); // prettier-ignore
    const answers: number[] = [];
    for (const call of all) answers.push(await status(call()));
    expect(answers).toEqual([200, 403, 403, 404]);
    expect((await operator.getWorker({ worker_id: id(OTHER) })).nodes).toBe(1);
  });

  test("a registration: of itself alone, and another's record stays as it was", async () => {
    const before = await operator.getWorker({ worker_id: id(OTHER) });
    const body = portRegistration(OTHER, { hostname: "evil.example", supersedes: "n" });
    const { status, body: answer } = await site.manager.api("PUT", "/api/worker", body, { "X-BackendAI-Token": secretOf(TAKEN) }); // prettier-ignore
    expect([status, answer["msg"]]).toEqual([403, 'authority: the secret is that of "taken", and this is "other"']);
    expect(await operator.getWorker({ worker_id: id(OTHER) })).toEqual(before);
  });

  test("another method in a header changes nothing", async () => {
    const call = (worker: string, method: string) =>
      site.manager.call("POST", `/api/worker/${id(worker)}`, {}, { "X-BackendAI-Token": secretOf(TAKEN), "X-Method-Override": method }); // prettier-ignore
    expect((await call(OTHER, "PATCH")).status).toBe(403);
    expect((await call(OTHER, "GET")).status).toBe(401);
    expect((await call(TAKEN, "PATCH")).status).toBe(200);
  });

  test("of all other calls it opens none that needs a secret", async () => {
    const { paths } = JSON.parse(readFileSync(join(ROOT, "test/fixtures/openapi.json"), "utf8")) as {
      paths: Record<string, Record<string, unknown>>;
    };
    const all = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ path, method: method.toUpperCase() })),
    );
    const opened: string[] = [];
    for (const { path, method } of all) {
      const name = `${method} ${path}`;
      if (OWN_CALLS.includes(name) || OPEN_CALLS.includes(name) || path.startsWith("/v2/proxy/")) continue;
      const url = path.replaceAll(/\{[^}]+\}/g, id(TAKEN));
      const answer = await site.manager.call(method, url, method === "GET" ? undefined : {}, { "X-BackendAI-Token": secretOf(TAKEN) }); // prettier-ignore
      if (answer.status !== 401) opened.push(`${name}: ${answer.status}`);
    }
    expect(opened).toEqual([]);
    expect(all.length).toBeGreaterThan(35);
  });
});

describe("by events", () => {
  const forger = createCodec({ of: () => [secretOf(TAKEN)], own: null }, false);
  const genuine = createCodec({ of: () => [secretOf(OTHER)], own: null }, false);

  /** Somebody opens an app, and waits for the other worker to say that it serves it. */
  async function opening() {
    const { token, sessionId } = await site.manager.conf(newKernel());
    let over = false;
    const answer = site.manager.auth(token, sessionId).then((opened) => {
      over = true;
      return opened.status;
    });
    const circuit = await until(
      async () => (await operator.listCircuits({ query: { session_id: sessionId } })).circuits[0],
    );
    const again = async () => (await site.manager.auth(token, sessionId)).status;
    return { circuit, answer, again, isOver: () => over };
  }

  const said = (name: "added" | "refused", authority: string, circuit: Circuit): AppProxyEvent => {
    const payload = { target_worker_authority: authority, circuits: [circuit] };
    const common = { source: "appproxy-worker", requestId: null } as const;
    if (name === "added") return { ...common, name: "appproxy_worker_circuit_added_event", payload };
    return {
      ...common,
      name: "appproxy_worker_circuit_refused_event",
      payload: { ...payload, node_id: "n", reason: "" },
    };
  };

  test("it acknowledges and refuses for no other worker, under that one's name or its own", async () => {
    const [first, second] = [await opening(), await opening()];
    for (const authority of [TAKEN, OTHER])
      for (const name of ["refused", "added"] as const)
        await site.publish(forger.encode(said(name, authority, first.circuit)));
    // What came before it was heard before it.
    await site.publish(genuine.encode(said("added", OTHER, second.circuit)));
    expect([await second.answer, first.isOver()]).toEqual([200, false]);
    expect((await operator.getWorker({ worker_id: id(OTHER) })).blocked_slots).toBe(0);
    await site.publish(genuine.encode(said("added", OTHER, first.circuit)));
    expect(await first.answer).toBe(200);
  });

  test("it takes no other worker's word away, with another's circuit as its own", async () => {
    const one = await opening();
    await site.publish(genuine.encode(said("added", OTHER, one.circuit)));
    // Before the first word is noted.
    await site.publish(forger.encode(said("added", TAKEN, { ...one.circuit, worker: id(TAKEN) })));
    expect(await one.answer).toBe(200);
    // Nobody is asked whether it is served: that is known.
    expect(await one.again()).toBe(200);
  });

  test("it reports no kernels of another's circuits", async () => {
    const one = await opening();
    await site.publish(genuine.encode(said("added", OTHER, one.circuit)));
    await one.answer;
    const { id: circuit_id, revision = 0, route_info: routes } = one.circuit;
    const report = (authority: string) => client(authority).reportRefused({ circuit_id, body: { revision, routes } });
    expect(await status(report(TAKEN))).toBe(403);
    expect((await operator.getCircuit({ circuit_id })).id).toBe(circuit_id);
    expect(await status(report(OTHER))).toBe(200);
    expect(await status(report(TAKEN))).toBe(404);
  });
});
