/** `POST` and `DELETE /v2/endpoints/bulk`: many endpoints in one call, one transaction and one event a worker. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { request as httpRequest } from "node:http";
import { API_SECRET } from "../../support/manager.ts";
import { holdLock, type Lock } from "../../support/lock.ts";
import { newIds, refusal, service, startStage, type Stage } from "../../support/model-service.ts";
import { until } from "../../support/until.ts";

const A = "0e000000-0000-4000-8000-00000000000a";
const B = "0e000000-0000-4000-8000-00000000000b";
const C = "0e000000-0000-4000-8000-00000000000c";

let stage: Stage;

beforeEach(async () => {
  stage = await startStage();
});

afterEach(() => stage.stop());

const entry = (deployment_id: string, ...rest: Parameters<typeof service>) => ({ deployment_id, ...service(...rest) });

async function sync(endpoints: ReturnType<typeof entry>[], headers: Record<string, string> = {}) {
  return (await stage.client.syncEndpoints({ body: { endpoints } }, headers)).endpoints;
}

/** The same for entries that the types forbid. */
async function send(method: string, path: string, endpoints: unknown[]) {
  const { status, body } = await stage.manager.api(method, `/v2/endpoints/${path}`, { endpoints });
  return { status, message: body["msg"], entries: body["endpoints"] as Record<string, unknown>[] };
}

async function remove(ids: string[]) {
  const endpoints = ids.map((deployment_id) => ({ deployment_id }));
  return (await stage.client.deleteEndpoints({ body: { endpoints } })).endpoints;
}

async function circuits() {
  return (await stage.client.listCircuits({ query: { limit: 1000 } })).circuits;
}

/** What the events tell: kind, worker, first and last revision, how many circuits. */
const told = () =>
  stage.told.map(({ name, payload }) => [
    name.split("_").at(-2),
    payload.target_worker_authority,
    payload.first_revision,
    payload.revision,
    "circuits" in payload ? payload.circuits.length : 1,
  ]);

const isDone = (id: string, url: string) => ({ deployment_id: id, url, health_check_enabled: false, success: true, error: null }); // prettier-ignore

describe("creating many", () => {
  test("answers in the order of the request", async () => {
    await stage.worker({ authority: "w" });
    const answers = await sync([entry(C), entry(A, { health_check: {} }), entry(B)]);
    expect(answers).toEqual([
      isDone(C, "http://worker.example:30000/"),
      { ...isDone(A, "http://worker.example:30001/"), health_check_enabled: true },
      isDone(B, "http://worker.example:30002/"),
    ]);
    expect(await sync([entry(B), entry(C)])).toEqual([
      isDone(B, "http://worker.example:30002/"),
      isDone(C, "http://worker.example:30000/"),
    ]);
    expect(await sync([])).toEqual([]);
  });

  test("knows an endpoint by its older name, and by its id in either case", async () => {
    await stage.worker({ authority: "w" });
    const url = "http://worker.example:30000/";
    const { entries } = await send("POST", "bulk", [{ endpoint_id: A.toUpperCase(), ...service() }]);
    expect(entries).toEqual([isDone(A, url)]);
    expect(await sync([entry(A)])).toEqual([isDone(A, url)]);
  });

  test("tells a worker of 200 at once, in one transaction, with the request's id", async () => {
    await stage.worker({ authority: "w", port_range: [30_000, 30_299] });
    const ids = newIds(200);
    const answers = await sync(ids.map((id) => entry(id)), { "X-Backend-Request-ID": "many" }); // prettier-ignore
    expect(answers.map(({ deployment_id, success }) => [deployment_id, success])).toEqual(ids.map((id) => [id, true]));
    expect(new Set(answers.map(({ url }) => url)).size).toBe(200);
    const made = await circuits();
    expect(new Set(made.map(({ created_at: at }) => at)).size).toBe(1);
    expect(new Set(made.map(({ origin_request_id: id }) => id))).toEqual(new Set(["many"]));
    await remove(ids);
    await until(() => stage.told.length >= 2);
    expect(told()).toEqual([["created", "w", 1, 200, 200], ["removed", "w", 201, 400, 200]]); // prettier-ignore
    const [created] = stage.told;
    const inEvent = created !== undefined && "circuits" in created.payload ? created.payload.circuits : [];
    expect(inEvent.map(({ endpoint_id: id }) => id)).toEqual(ids);
    expect([created?.requestId, inEvent.map(({ revision }) => revision)]).toEqual(["many", ids.map((_, at) => at + 1)]);
  });

  test("tells each of two workers once", async () => {
    await stage.worker({ authority: "a", port_range: [30_000, 30_099] });
    await stage.worker({ authority: "b", port_range: [31_000, 31_099] });
    const ids = newIds(60);
    await sync(ids.map((id) => entry(id)));
    await remove(ids);
    await until(() => stage.told.length >= 4);
    expect(told().toSorted()).toEqual([
      ["created", "a", 1, 30, 30],
      ["created", "b", 1, 30, 30],
      ["removed", "a", 31, 60, 30],
      ["removed", "b", 31, 60, 30],
    ]);
  });

  test("makes one circuit of a deployment that is named twice", async () => {
    await stage.worker({ authority: "w" });
    const url = "http://worker.example:30000/";
    const answers = await sync([entry(A), entry(B), entry(A.toUpperCase())]);
    expect(answers).toEqual([isDone(A, url), isDone(B, "http://worker.example:30001/"), isDone(A, url)]);
    expect(told()).toEqual([["created", "w", 1, 2, 2]]);
  });

  test("takes the last entry of a deployment that is named twice", async () => {
    await stage.worker({ authority: "w" });
    await sync([entry(A, { open_to_public: false }), entry(A, { open_to_public: true })]);
    expect(await stage.circuitOf(A)).toMatchObject({ open_to_public: true });
  });

  test("fails those whose worker does not acknowledge, and leaves nothing of them", async () => {
    await stage.stop();
    stage = await startStage({ coordinator: { circuit_ack_timeout: 3 } });
    const silent = await stage.worker({ authority: "a" });
    await stage.worker({ authority: "b", hostname: "b.example" });
    silent.answers = false;
    const answers = await sync([A, B, C].map((id) => entry(id)));
    const error = "E10001: Proxy worker not responding";
    const failed = (id: string) => ({ ...isDone(id, ""), url: null, success: false, error });
    expect(answers).toEqual([failed(A), isDone(B, "http://b.example:30000/"), failed(C)]);
    expect((await circuits()).map(({ endpoint_id: id }) => id)).toEqual([B]);
    expect((await stage.client.getWorker({ worker_id: silent.id })).occupied_slots).toBe(0);
  });

  /** Two workers, of which one does not acknowledge: A goes to that one, B to the other. */
  async function makeBoth(settings: Parameters<typeof startStage>[0], spoil: () => Promise<void>) {
    await stage.stop();
    stage = await startStage({ coordinator: { circuit_ack_timeout: 8 }, ...settings });
    (await stage.worker({ authority: "a" })).answers = false;
    await stage.worker({ authority: "b", hostname: "b.example" });
    const call = send("POST", "bulk", [entry(A), entry(B)]);
    await until(async () => (await circuits()).length === 2);
    await spoil();
    return call;
  }

  test("fails one that can't be taken back, for which the database is locked by then, and answers the others", async () => {
    const locks: Lock[] = [];
    const { status, entries } = await makeBoth({ patience: 200 }, async () => {
      locks.push(await holdLock(stage.database));
    });
    stage.defer(() => locks[0]?.release());
    const error = "The database is locked by another process; try again";
    expect([status, entries]).toEqual([
      200,
      [{ ...isDone(A, ""), url: null, success: false, error }, isDone(B, "http://b.example:30000/")],
    ]);
    await locks[0]?.release();
    await until(async () => (await circuits()).length === 1);
    expect((await circuits()).map(({ endpoint_id: id }) => id)).toEqual([B]);
    expect(stage.lines.filter(({ msg }) => msg === "entry failed")).toEqual([]);
  });

  test("fails one that ends in an unexpected error, which is logged with its endpoint, and answers the others", async () => {
    const { status, entries } = await makeBoth({}, async () => {
      using sqlite = new Database(stage.database);
      sqlite.run("UPDATE circuits SET envs = '{' WHERE endpoint_id = ?", [A]);
    });
    const error = "Unexpected error; the log has its details";
    expect([status, entries]).toEqual([
      200,
      [{ ...isDone(A, ""), url: null, success: false, error }, isDone(B, "http://b.example:30000/")],
    ]);
    const failed = stage.lines.filter(({ msg }) => msg === "entry failed");
    expect(failed).toEqual([
      expect.objectContaining({
        level: 50,
        endpoint: A,
        reason: error,
        cause: expect.stringContaining("JSON") as string,
      }),
    ]);
  });

  test("leaves nothing of one that its worker refuses and that can't be moved for an unexpected error", async () => {
    const mine = await stage.worker({ authority: "w" });
    mine.answers = false;
    const call = send("POST", "bulk", [entry(A)]);
    await until(async () => (await circuits()).length === 1);
    {
      using sqlite = new Database(stage.database);
      sqlite.run("CREATE TRIGGER stays BEFORE UPDATE OF port ON circuits BEGIN SELECT RAISE(FAIL, 'it stays'); END");
    }
    await stage.client.heartbeat({ worker_id: mine.id, body: { node_id: "n1", blocked_ports: [30_000] } });
    const error = "Unexpected error; the log has its details";
    expect((await call).entries).toEqual([{ ...isDone(A, ""), url: null, success: false, error }]);
    expect(await circuits()).toEqual([]);
  });

  test("gives the same URLs again to a caller that lost the answer", async () => {
    const mine = await stage.worker({ authority: "w" });
    const endpoints = newIds(5).map((id) => entry(id));
    const lost = httpRequest(`${stage.manager.baseUrl}/v2/endpoints/bulk`, {
      method: "POST",
      headers: { "X-BackendAI-Token": API_SECRET, "Content-Type": "application/json" },
    });
    lost.on("error", () => undefined);
    lost.end(JSON.stringify({ endpoints }));
    await until(() => mine.events.length > 0);
    lost.destroy();
    const urls = new Map((await sync(endpoints)).map(({ deployment_id: id, url }) => [id, url]));
    expect(urls).toEqual(new Map((await circuits()).map(({ endpoint_id: id, port }) => [id ?? "", `http://worker.example:${port}/`]))); // prettier-ignore
    expect(told()).toEqual([["created", "w", 1, 5, 5]]);
  });
});

describe("deleting many", () => {
  test("answers in order, takes unknown and repeated ones for deleted, frees the slots and tells the worker once", async () => {
    const mine = await stage.worker({ authority: "w" });
    await sync([A, B, C].map((id) => entry(id)));
    const unknown = crypto.randomUUID();
    const gone = (id: string) => ({ deployment_id: id, success: true, error: null });
    expect(await remove([C, unknown, A, C])).toEqual([C, unknown, A, C].map(gone));
    const { available_slots, occupied_slots } = await stage.client.getWorker({ worker_id: mine.id });
    expect([available_slots, occupied_slots]).toEqual([9, 1]);
    expect((await send("DELETE", "bulk", [{ endpoint_id: B }])).entries).toEqual([gone(B)]);
    expect([await remove([A, B, C]), await circuits()]).toEqual([[A, B, C].map(gone), []]);
    await until(() => stage.told.length >= 3);
    expect(told().slice(1)).toEqual([["removed", "w", 4, 5, 2], ["removed", "w", undefined, 6, 1]]); // prettier-ignore
    expect((await stage.client.deleteEndpoint({ endpoint_id: A })).success).toBe(true);
  });

  test.each(["Content-Length", "Transfer-Encoding"])("reads a body with %s from Node's client", async (framing) => {
    await stage.worker({ authority: "w" });
    await sync([entry(A)]);
    const body = JSON.stringify({ endpoints: [{ deployment_id: A }] });
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const call = httpRequest(`${stage.manager.baseUrl}/v2/endpoints/bulk`, {
      method: "DELETE",
      headers: {
        "X-BackendAI-Token": API_SECRET,
        "Content-Type": "application/json",
        [framing]: framing === "Content-Length" ? Buffer.byteLength(body) : "chunked",
      },
    });
    call.on("error", reject);
    call.on("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part)).on("end", () => resolve(text)); // prettier-ignore
    });
    call.end(body);
    expect(await promise).toBe(JSON.stringify({ endpoints: [{ deployment_id: A, success: true, error: null }] }));
    expect(await circuits()).toEqual([]);
  });

  test("without a body is 400", async () => {
    expect((await stage.manager.api("DELETE", "/v2/endpoints/bulk")).status).toBe(400);
    expect((await refusal(stage.client.deleteEndpoints({ body: {} as never })))[2]).toStartWith(
      "endpoints: wanted a list",
    );
  });
});
