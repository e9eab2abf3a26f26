/**
 * A kernel's address that comes to another session: whoever had it before loses its way there, in the same transaction, so
 * that nobody's traffic goes to a stranger's kernel. Real Redis and SQLite, workers that only acknowledge.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Route } from "../../../shared/protocol/schema/circuit.ts";
import type { RouteEntry } from "../../../shared/protocol/schema/endpoint.ts";
import type { FakeWorker } from "../../support/fake-worker.ts";
import { replay, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { until } from "../../support/until.ts";

const A = "0e000000-0000-4000-8000-00000000000a";
const B = "0e000000-0000-4000-8000-00000000000b";
const ONE = "5e000000-0000-4000-8000-000000000101";
const TWO = "5e000000-0000-4000-8000-000000000102";
const KERNEL = { kernel_host: "10.0.0.7", kernel_port: 8888 };
const TAKEN = "token: its kernel's address is another session's by now";

let stage: Stage;
let worker: FakeWorker;

beforeEach(async () => {
  stage = await startStage();
  worker = await stage.worker({ authority: "w", port_range: [30_000, 30_003] });
});

afterEach(() => stage.stop());

interface Token {
  token: string;
  session_id: string;
}

async function tokenOf(
  session_id: string,
  kernel: { kernel_host: string; kernel_port: number } = KERNEL,
): Promise<Token> {
  const { token } = await stage.manager.conf({ ...kernel, session_id });
  // Issued in another millisecond than the next one.
  await until(() => Date.now() > issuedAt(token));
  return { token, session_id };
}

const issued = new Map<string, number>();
/** When a token was first asked about: it was issued before. */
function issuedAt(token: string): number {
  const at = issued.get(token) ?? Date.now();
  issued.set(token, at);
  return at;
}

const openWith = (token: Token, app = "jupyter") => stage.manager.auth(token.token, token.session_id, { app });
const open = async (session: string, app = "jupyter", kernel = KERNEL) => openWith(await tokenOf(session, kernel), app);

const register = (endpoint: string, routes: RouteEntry[]) =>
  stage.client.registerRoutes({ body: { endpoints: [{ deployment_id: endpoint, routes }] } });
const replace = (tables: [string, RouteEntry[]][]) =>
  stage.client.replaceRoutes({
    body: { endpoints: tables.map(([deployment_id, routes]) => ({ deployment_id, routes })) },
  });
const endpoint = (id: string) => stage.client.syncEndpoint({ endpoint_id: id, body: service() });
const sessionsOf = async (id: string) => (await stage.circuitOf(id))?.route_info.map((route) => route.session_id);
const circuits = async () => (await stage.client.listCircuits({ query: { limit: 1000 } })).circuits;
/** App and session of each interactive circuit. */
const apps = async () =>
  (await circuits())
    .filter(({ app_mode: mode }) => mode === "interactive")
    .map(({ app, session_ids: ids }) => [app, ids[0]]);
/** The worker's table, from what it was told. */
const served = () => replay(worker.events, "w");
const kernelsOf = (routes: readonly Route[]) => routes.map(({ kernel_host, kernel_port, session_id }) => [`${kernel_host}:${kernel_port}`, session_id]); // prettier-ignore

describe("opening an app of a new session", () => {
  test("closes every app of the old session at that address, and no other", async () => {
    const elsewhere = { ...KERNEL, kernel_port: 8889 };
    await open(ONE);
    await open(ONE, "terminal");
    await open(ONE, "elsewhere", elsewhere);
    expect((await open(TWO)).status).toBe(200);
    expect(await apps()).toEqual([["elsewhere", ONE], ["jupyter", TWO]]); // prettier-ignore
    await until(() => served().size === 2);
    expect([...served().values()].map(({ app }) => app)).toEqual(["elsewhere", "jupyter"]);
  });

  test("is one transaction: the old one's slot is free for it, and its worker hears of the end first", async () => {
    for (const [at, port] of [1, 2, 3].entries()) await open(ONE.replace(/.$/, String(at + 3)), "a", { ...KERNEL, kernel_port: port }); // prettier-ignore
    await open(ONE);
    expect((await open(TWO)).status).toBe(200);
    const told = stage.told.slice(-2);
    expect(told.map(({ name }) => name)).toEqual(["appproxy_circuit_removed_event", "appproxy_circuit_created_event"]);
    const [removed, created] = told.map(({ payload }) => ("circuits" in payload ? payload.circuits[0] : undefined));
    expect([removed?.session_ids, created?.session_ids, created?.port]).toEqual([[ONE], [TWO], removed?.port ?? null]);
    expect(created?.revision).toBe((removed?.revision ?? 0) + 1);
  });

  test("takes a model service's route away, and leaves it the others", async () => {
    await endpoint(A);
    await register(A, [routeTo(1, { ...KERNEL, session_id: ONE }), routeTo(2)]);
    await open(TWO);
    expect(await sessionsOf(A)).toEqual([routeTo(2).session_id]);
    await until(() => [...served().values()].find(({ endpoint_id: id }) => id === A)?.route_info.length === 1);
  });

  test("knows the address in every spelling", async () => {
    const spellings: [string, string][] = [
      ["Kernel-1.Example", "kernel-1.example"],
      ["[fd00:0::1]", "fd00::1"],
      ["::ffff:10.0.0.9", "10.0.0.9"],
    ];
    for (const [old, now] of spellings) {
      await open(ONE, "app", { kernel_host: old, kernel_port: 80 });
      await open(TWO, "app", { kernel_host: now, kernel_port: 80 });
      expect(await apps()).toEqual([["app", TWO]]);
      await stage.client.deleteCircuits({ body: { circuit_ids: (await circuits()).map(({ id }) => id) } });
    }
  });

  test("of an app that moves to the address of another session closes that one's", async () => {
    await open(ONE);
    const { body } = await open(TWO, "jupyter", { ...KERNEL, kernel_port: 1 });
    expect((await open(TWO)).body["circuit_id"]).toBe(body["circuit_id"]);
    expect(await apps()).toEqual([["jupyter", TWO]]);
  });

  test("begins with the platform's word: the token ends the old session's apps, before anybody opens one", async () => {
    await open(ONE);
    await open(ONE, "terminal");
    await tokenOf(TWO, { ...KERNEL, kernel_port: 1 });
    expect(await apps()).toEqual([["jupyter", ONE], ["terminal", ONE]]); // prettier-ignore
    await tokenOf(TWO);
    expect(await apps()).toEqual([]);
    await until(() => served().size === 0);
  });

  test("is not in question when an own app is opened again", async () => {
    await open(ONE);
    expect((await open(ONE)).status).toBe(200);
    expect(await apps()).toEqual([["jupyter", ONE]]);
    expect(stage.told.length).toBe(1);
  });
});

describe("a token of the old session", () => {
  test("opens nothing at an address that was given to another session since, though that has opened nothing yet", async () => {
    const old = await tokenOf(ONE);
    await tokenOf(TWO);
    const answer = await openWith(old);
    expect([answer.status, answer.body["msg"]]).toEqual([401, "token: its kernel's address is another session's by now"]); // prettier-ignore
    expect(await apps()).toEqual([]);
  });

  test("does not take the address back, however often it is tried; a newer one does", async () => {
    const old = await tokenOf(ONE);
    await openWith(old);
    const newer = await tokenOf(TWO);
    await openWith(newer);
    for (let at = 0; at < 3; at++) expect(await openWith(old)).toMatchObject({ status: 401, body: { msg: TAKEN } });
    expect(await apps()).toEqual([["jupyter", TWO]]);
    await open(ONE);
    expect(await apps()).toEqual([["jupyter", ONE]]);
    expect(await openWith(newer)).toMatchObject({ status: 401, body: { msg: TAKEN } });
  });

  test("does not take it from a model service that was given it later", async () => {
    await endpoint(A);
    const old = await tokenOf(ONE);
    await register(A, [routeTo(1, KERNEL)]);
    expect(await openWith(old)).toMatchObject({ status: 401, body: { msg: TAKEN } });
    expect(await sessionsOf(A)).toEqual([routeTo(1).session_id]);
    expect((await open(ONE)).status).toBe(200);
    expect(await sessionsOf(A)).toEqual([]);
  });
});

describe("two sessions at once", () => {
  test("who waits for a worker while another takes its kernel is told so, and does not take it back", async () => {
    const old = await tokenOf(ONE);
    worker.answers = false;
    const waiting = openWith(old);
    await until(() => worker.events.length === 1);
    worker.answers = true;
    expect((await open(TWO)).status).toBe(200);
    expect(await waiting).toMatchObject({ status: 401, body: { msg: TAKEN } });
    expect(await apps()).toEqual([["jupyter", TWO]]);
  });

  test("many of two sessions end, with one app of one of them", async () => {
    const tokens = await Promise.all(
      [ONE, TWO].map((session) => stage.manager.conf({ ...KERNEL, session_id: session })),
    );
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, at) => stage.manager.auth(tokens[at % 2]?.token ?? "", [ONE, TWO][at % 2] ?? "")),
    );
    expect(answers.filter(({ status }) => status !== 200 && status !== 401)).toEqual([]);
    const left = await apps();
    expect(left.length).toBe(1);
    await until(() => served().size === 1);
    expect(stage.told.length).toBeLessThan(12);
  });
});

describe("routes of model services", () => {
  const mine = (at: number, session: string, over: Partial<RouteEntry> = {}) => routeTo(at, { ...KERNEL, session_id: session, ...over }); // prettier-ignore

  beforeEach(async () => {
    await endpoint(A);
    await endpoint(B);
  });

  test("registered at the address of an app close that app", async () => {
    await open(TWO);
    await register(A, [mine(1, ONE)]);
    expect([await apps(), await sessionsOf(A)]).toEqual([[], [ONE]]);
  });

  test("end the old session's, in the same service and in others", async () => {
    await replace([[A, [mine(1, ONE), routeTo(5)]], [B, [mine(2, ONE)]]]); // prettier-ignore
    await register(A, [mine(3, TWO)]);
    expect([await sessionsOf(A), await sessionsOf(B)]).toEqual([[routeTo(5).session_id, TWO], []]);
    await until(() => [...served().values()].every(({ route_info: routes }) => routes.every((route) => route.session_id !== ONE))); // prettier-ignore
  });

  test("of one session may lead to one address as often as the Manager likes", async () => {
    await replace([[A, [mine(1, ONE), mine(2, ONE)]], [B, [mine(3, ONE)]]]); // prettier-ignore
    expect([await sessionsOf(A), await sessionsOf(B)]).toEqual([[ONE, ONE], [ONE]]);
  });

  test("of a call that gives one address to two sessions: the later entry's counts, and the same call changes no more", async () => {
    const tables: [string, RouteEntry[]][] = [[A, [mine(1, ONE), routeTo(5)]], [B, [mine(2, ONE, { session_id: TWO }), routeTo(6)]]]; // prettier-ignore
    for (let at = 0; at < 3; at++) {
      await replace(tables);
      expect([await sessionsOf(A), await sessionsOf(B)]).toEqual([
        [routeTo(5).session_id],
        [TWO, routeTo(6).session_id],
      ]);
      expect(stage.told.length).toBe(4);
    }
    const { endpoints } = await register(A, [mine(1, ONE), mine(8, TWO), mine(9, ONE)]);
    expect(endpoints[0]).toMatchObject({ success: true, registered_route_ids: [mine(1, ONE), mine(9, ONE)].map(({ route_id: id }) => id) }); // prettier-ignore
    expect([await sessionsOf(A), await sessionsOf(B)]).toEqual([
      [routeTo(5).session_id, ONE, ONE],
      [routeTo(6).session_id],
    ]);
    const told = stage.told.length;
    await register(A, [mine(1, ONE), mine(8, TWO), mine(9, ONE)]);
    expect(stage.told.length).toBe(told);
  });

  test("of an entry that fails, or of a service that there is not, take nothing from anybody", async () => {
    await open(ONE);
    const { endpoints } = await replace([
      [A, [mine(1, TWO), routeTo(2, { kernel_host: "0.0.0.0" })]],
      ["0e000000-0000-4000-8000-00000000000f", [mine(1, TWO)]],
    ]);
    expect([endpoints.map(({ success }) => success), await apps()]).toEqual([[false, false], [["jupyter", ONE]]]); // prettier-ignore
  });

  test("5,000 of one call may all come from other sessions", async () => {
    const many = Array.from({ length: 5000 }, (_, at) => routeTo(at, { kernel_host: `10.${at >> 8}.${at & 255}.1` }));
    await replace([[A, many]]);
    const others = many.map((route) => ({ ...route, route_id: crypto.randomUUID(), session_id: crypto.randomUUID() }));
    await replace([[B, others]]);
    expect(await sessionsOf(A)).toEqual([]);
    expect(kernelsOf((await stage.circuitOf(B))?.route_info ?? []).length).toBe(5000);
  });
});
