/** `DELETE /api/circuit/_/bulk`: which ids it takes and how they may come; all of them in one transaction and one event. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { CHANNEL } from "../../../shared/bus/redis.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { startFakeWorker, type FakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator, type LoneCoordinator } from "../../support/lone-coordinator.ts";
import { API_SECRET, type Answer } from "../../support/manager.ts";
import { until } from "../../support/until.ts";
import { expectProblem, NOBODY } from "./plan.ts";
import { Stage } from "./stage.ts";

let lone: LoneCoordinator;
let stage: Stage;
let workers: FakeWorker[];
let listener: Redis;
/** What the coordinator has published, in order. */
const heard: AppProxyEvent[] = [];

beforeAll(async () => {
  lone = await startLoneCoordinator({});
  stage = new Stage(lone.manager);
  const start = (authority: string, low: number, mode: string) =>
    startFakeWorker(lone.manager, lone.redis.port, {
      authority,
      port_range: [low, low + 49],
      accepted_traffics: [mode],
    });
  workers = [await start("apps", 30_000, "interactive"), await start("models", 31_000, "inference")];
  listener = new Redis(lone.redis.port, "127.0.0.1");
  const codec = createCodec(API_SECRET, false);
  listener.on("message", (_channel, text: string) => {
    const event = codec.decode(text);
    if (event?.source === "appproxy-coordinator") heard.push(event);
  });
  await listener.subscribe(CHANNEL);
});
afterEach(() => stage.clear());
afterAll(async () => {
  listener.disconnect();
  for (const worker of workers) await worker.stop();
  await lone.stop();
});

/** So many fresh circuits. */
const make = (count: number): Promise<Circuit[]> => Promise.all(Array.from({ length: count }, () => stage.circuit()));
const idsOf = (circuits: readonly Circuit[]) => circuits.map(({ id }) => id);
const left = async () => idsOf((await stage.state()).circuits);
const remove = (body: unknown, query = ""): Promise<Answer> => lone.manager.api("DELETE", `/api/circuit/_/bulk${query}`, body); // prettier-ignore
const SUCCESS = { status: 200, body: { success: true } };

describe("the ids", () => {
  test.each<[string, (ids: string[]) => Promise<Answer>]>([
    ["as a list", (ids) => remove({ circuit_ids: ids })],
    ["as a text with commas", (ids) => remove({ circuit_ids: ids.join(",") })],
    ["as a text with commas and blanks", (ids) => remove({ circuit_ids: ` ${ids.join(" , ")},, ` })],
    ["under the name with a hyphen", (ids) => remove({ "circuit-ids": ids })],
    ["in a query", (ids) => remove(undefined, `?circuit_ids=${ids.join(",")}`)],
    ["in a query, encoded", (ids) => remove(undefined, `?circuit_ids=${ids.join("%2C")}`)],
    ["in a query beside a body without them", (ids) => remove({}, `?circuit_ids=${ids.join(",")}`)],
    ["in a body that precedes the query", (ids) => remove({ circuit_ids: ids }, `?circuit_ids=${NOBODY}`)],
    ["in capitals", (ids) => remove({ circuit_ids: ids.map((id) => id.toUpperCase()) })],
    ["twice each", (ids) => remove({ circuit_ids: [...ids, ...ids] })],
    ["beside those of nothing", (ids) => remove({ circuit_ids: [NOBODY, ...ids, crypto.randomUUID()] })],
  ])("may come %s", async (_how, send) => {
    const circuits = await make(3);
    expect(await send(idsOf(circuits.slice(0, 2)))).toMatchObject(SUCCESS);
    expect(await left()).toEqual(idsOf(circuits.slice(2)));
  });

  test("may come without their hyphens", async () => {
    const [circuit] = await make(1);
    expect(await remove({ circuit_ids: [circuit?.id.replaceAll("-", "")] })).toMatchObject(SUCCESS);
    expect(await left()).toEqual([]);
  });

  // Elysia gives the last of a name that is repeated: of the others nothing is said, and nothing is done about them.
  test("may come as a repeated name in a query, or are refused so", async () => {
    const circuits = await make(2);
    const { status } = await remove(undefined, `?${idsOf(circuits).map((id) => `circuit_ids=${id}`).join("&")}`); // prettier-ignore
    expect([status, (await left()).length]).toEqual(status === 400 ? [400, 2] : [200, 0]);
  });

  test("may be none: nothing is to be deleted then", async () => {
    const circuits = await make(1);
    for (const none of [{ circuit_ids: [] }, { circuit_ids: "" }]) expect(await remove(none)).toMatchObject(SUCCESS);
    expect(await left()).toEqual(idsOf(circuits));
  });
});

describe("nothing is deleted when", () => {
  const wanted = "circuit_ids: wanted a list of UUIDs or a text of them with commas, got nothing";

  test.each<[string, (id: string) => Promise<Answer>, string | RegExp]>([
    ["no ids are given", () => remove(undefined), wanted],
    ["a body without them is given", () => remove({ ids: [NOBODY] }), wanted],
    ["one of them is none", (id) => remove({ circuit_ids: [id, "all"] }), 'circuit_ids: wanted UUIDs, got "all"'],
    ["one of a text is none", (id) => remove({ circuit_ids: `${id},*` }), 'circuit_ids: wanted UUIDs, got "*"'],
    ["one of a query is none", (id) => remove(undefined, `?circuit_ids=${id},x`), 'circuit_ids: wanted UUIDs, got "x"'],
    ["they are a number", () => remove({ circuit_ids: 5 }), /^circuit_ids: wanted a list of at most 10000 or text, got 5$/],
    ["one of them is a number", (id) => remove({ circuit_ids: [id, 5] }), /^circuit_ids/],
    ["they are too many", (id) => remove({ circuit_ids: Array<string>(10_001).fill(id) }), /^circuit_ids: wanted a list of at most 10000/],
  ])("%s", async (_what, send, msg) => {
    const [circuit] = await make(1);
    expectProblem(await send(circuit?.id ?? ""), "invalid-api-params", msg);
    expect(await left()).toEqual([circuit?.id ?? ""]);
  }); // prettier-ignore
});

describe("the workers are told", () => {
  /** The removals that were published since. */
  const removals = (since: number) => heard.slice(since).filter(({ name }) => name.includes("removed"));
  const told = ({ requestId, payload }: AppProxyEvent) => ({
    requestId,
    worker: payload.target_worker_authority,
    ids: "circuits" in payload ? idsOf(payload.circuits) : [],
  });

  test("of all of them in one event, with the request's id", async () => {
    const circuits = await make(40);
    const before = (await stage.state()).workers.find(({ authority }) => authority === "apps")?.revision ?? 0;
    const since = heard.length;
    const ids = idsOf(circuits);
    const body = { circuit_ids: ids };
    await lone.manager.api("DELETE", "/api/circuit/_/bulk", body, { "X-Backend-Request-ID": "clean-up" });
    await until(() => removals(since).length > 0);
    // The next event comes after all that the deletion has published.
    const { id: last } = await stage.circuit();
    await until(() => heard.some((event) => told(event).ids.includes(last)));
    expect(removals(since).map(told)).toEqual([{ requestId: "clean-up", worker: "apps", ids }]);
    expect(removals(since)[0]?.payload).toMatchObject({ first_revision: before + 1, revision: before + 40 });
  });

  test("each of its own", async () => {
    const [app, model] = [await stage.circuit(), (await stage.endpoint()).circuit];
    const since = heard.length;
    await remove({ circuit_ids: [app.id, model.id] });
    await until(() => removals(since).length === 2);
    expect(removals(since).map(told).toSorted((a, b) => a.worker.localeCompare(b.worker))).toEqual([
      { requestId: null, worker: "apps", ids: [app.id] },
      { requestId: null, worker: "models", ids: [model.id] },
    ]); // prettier-ignore
  });

  test("of nothing when there was nothing, as when it is asked once more", async () => {
    const ids = idsOf(await make(2));
    await remove({ circuit_ids: ids });
    const before = await stage.state();
    const since = heard.length;
    expect(await remove({ circuit_ids: [...ids, NOBODY] })).toMatchObject(SUCCESS);
    expect(await stage.state()).toEqual(before);
    const { id } = await stage.circuit();
    await until(() => heard.slice(since).some((event) => told(event).ids.includes(id)));
    expect(removals(since)).toEqual([]);
  });

  test("once, however many ask for it at once", async () => {
    const ids = idsOf(await make(20));
    const since = heard.length;
    const answers = await Promise.all(Array.from({ length: 64 }, () => remove({ circuit_ids: ids })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await until(() => removals(since).length > 0);
    const { id } = await stage.circuit();
    await until(() => heard.slice(since).some((event) => told(event).ids.includes(id)));
    expect(
      removals(since)
        .flatMap((event) => told(event).ids)
        .toSorted(),
    ).toEqual(ids.toSorted());
  });
});
