/** `POST /v2/endpoints/{id}`: a model service's circuit is made, found again and brought up to date. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { EndpointRequest } from "../../../shared/protocol/schema/endpoint.ts";
import { OWNER, refusal, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { until } from "../../support/until.ts";

const ID = "0e000000-0000-4000-8000-00000000000a";

let stage: Stage;

beforeEach(async () => {
  stage = await startStage();
});

afterEach(() => stage.stop());

async function sync(body: EndpointRequest, requestId?: string, id = ID) {
  const headers: Record<string, string> = requestId === undefined ? {} : { "X-Backend-Request-ID": requestId };
  return stage.client.syncEndpoint({ endpoint_id: id, body }, headers);
}

const revision = async (worker: { id: string }) => (await stage.client.getWorker({ worker_id: worker.id })).revision;

describe("a new endpoint", () => {
  test("gets a circuit without routes at a worker that accepts inference, with the Manager's request id", async () => {
    await stage.worker({ authority: "a", accepted_traffics: ["interactive"] });
    const mine = await stage.worker({ authority: "w", accepted_traffics: ["inference"] });
    const answer = await sync(service({}, { id: ID, runtime_variant: "vllm" }), "req-1");
    expect(answer).toEqual({
      success: true,
      endpoint: "http://worker.example:30000/",
      health_check_enabled: false,
    });
    const circuit = await stage.circuitOf(ID);
    expect(circuit).toEqual({
      id: expect.any(String) as string,
      app: "llama",
      protocol: "http",
      worker: mine.id,
      app_mode: "inference",
      frontend_mode: "port",
      envs: {},
      arguments: null,
      open_to_public: false,
      allowed_client_ips: null,
      port: 30_000,
      subdomain: null,
      user_id: OWNER,
      endpoint_id: ID,
      runtime_variant: "vllm",
      route_info: [],
      session_ids: [],
      created_at: expect.any(String) as string,
      updated_at: expect.any(String) as string,
      origin_request_id: "req-1",
      revision: 1,
    });
    expect(
      stage.told.map(({ name, requestId, payload }) => [name, requestId, payload.target_worker_authority]),
    ).toEqual([["appproxy_circuit_created_event", "req-1", "w"]]);
  });

  test("has no request id when the request has none, or one that is not allowed", async () => {
    await stage.worker({ authority: "w" });
    await sync(service());
    expect((await stage.circuitOf(ID))?.origin_request_id).toBeNull();
    await stage.client.deleteEndpoint({ endpoint_id: ID });
    await sync(service(), "not allowed");
    expect((await stage.circuitOf(ID))?.origin_request_id).toBeNull();
  });

  test("is found under its id in either case", async () => {
    await stage.worker({ authority: "w" });
    const first = await sync(service(), undefined, ID.toUpperCase());
    expect(await sync(service())).toEqual(first);
    expect((await stage.circuitOf(ID))?.revision).toBe(1);
  });

  test("of which only the least is said gets the defaults", async () => {
    await stage.worker({ authority: "w" });
    await sync({ service_name: "llama", tags: { session: { user_uuid: OWNER.toUpperCase() }, endpoint: {} } });
    const circuit = await stage.circuitOf(ID);
    expect([circuit?.open_to_public, circuit?.runtime_variant, circuit?.user_id]).toEqual([false, null, OWNER]);
    expect(circuit).not.toHaveProperty("health_check");
  });
});

describe("the same call again", () => {
  test("gives the same URL and tells nobody", async () => {
    const mine = await stage.worker({ authority: "w" });
    const body = service({ open_to_public: true, health_check: { path: "/up" } }, { runtime_variant: "vllm" });
    const first = await sync(body, "first");
    expect(first.health_check_enabled).toBe(true);
    expect([await sync(body, "again"), await sync(body)]).toEqual([first, first]);
    expect((await stage.circuitOf(ID))?.origin_request_id).toBe("first");
    expect(await revision(mine)).toBe(1);
    await stage.client.deleteEndpoint({ endpoint_id: ID });
    await until(() => stage.told.length >= 2);
    expect(stage.told.map(({ payload: { revision } }) => revision)).toEqual([1, 2]);
  });

  test("brings publicity, health check and variant up to date, and tells the worker once with all of them", async () => {
    const mine = await stage.worker({ authority: "w" });
    const first = await sync(service({}, { runtime_variant: "vllm" }), "first");
    const health_check = { path: "/up", interval: 5, max_retries: 3 };
    const second = await sync(service({ open_to_public: true, health_check }, { runtime_variant: "sglang" }), "second");
    expect(second).toEqual({ ...first, health_check_enabled: true });
    const circuit = await stage.circuitOf(ID);
    expect(circuit).toMatchObject({
      open_to_public: true,
      runtime_variant: "sglang",
      health_check: { path: "/up", interval: 5, max_retries: 3, max_wait_time: 15, expected_status_code: 200, initial_delay: 60 },
      origin_request_id: "first",
      revision: 2,
    }); // prettier-ignore
    await until(() => stage.told.length >= 2);
    const { epoch } = await stage.client.getWorkerCircuits({ worker_id: mine.id });
    expect(stage.told.slice(1)).toEqual([
      {
        name: "appproxy_circuit_route_updated_event",
        source: "appproxy-coordinator",
        requestId: "second",
        payload: {
          target_worker_authority: "w",
          revision: 2,
          epoch: epoch ?? "",
          circuit: circuit ?? expect.anything(),
          routes: [],
        },
      },
    ]);
  });

  test("without a variant keeps the one it has, and without a health check ends the checks", async () => {
    await stage.worker({ authority: "w" });
    await sync(service({ health_check: {} }, { runtime_variant: "vllm" }));
    expect((await sync(service({ health_check: null }))).health_check_enabled).toBe(false);
    const circuit = await stage.circuitOf(ID);
    expect(circuit?.runtime_variant).toBe("vllm");
    expect(circuit).not.toHaveProperty("health_check");
  });

  test("does not wait for a worker of the original, which acknowledges no change", async () => {
    const old = await stage.worker({ authority: "w", node_id: undefined });
    await sync(service());
    expect((await sync(service({ open_to_public: true }))).success).toBe(true);
    await until(() => old.events.some(({ name }) => name === "appproxy_circuit_route_updated_event"));
  });

  test("tells a worker of the original nothing new after its routes have changed", async () => {
    await stage.worker({ authority: "w", node_id: undefined });
    await sync(service());
    await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ID, routes: [routeTo(1)] }] } });
    await sync(service());
    await stage.client.deleteEndpoint({ endpoint_id: ID });
    await until(() => stage.told.some(({ name }) => name === "appproxy_circuit_removed_event"));
    expect(stage.told.map(({ payload: { revision } }) => revision)).toEqual([1, 2, 3]);
  });
});

describe("without an acknowledgement", () => {
  test("a creation is 503 E10001 and leaves nothing: no record, no slot, and the worker is told", async () => {
    await stage.stop();
    stage = await startStage({ coordinator: { circuit_ack_timeout: 1 } });
    const silent = await stage.worker({ authority: "w" });
    silent.answers = false;
    const failed = [503, "service-unavailable", "E10001: Proxy worker not responding"];
    expect<unknown>(await refusal(sync(service(), "req-1"))).toEqual(failed);
    const { available_slots, occupied_slots } = await stage.client.getWorker({ worker_id: silent.id });
    expect([await stage.circuitOf(ID), available_slots, occupied_slots]).toEqual([undefined, 10, 0]);
    await until(() => stage.told.length >= 2);
    expect(stage.told.map(({ name, requestId }) => [name, requestId])).toEqual([
      ["appproxy_circuit_created_event", "req-1"],
      ["appproxy_circuit_removed_event", "req-1"],
    ]);
    silent.answers = true;
    expect((await sync(service())).endpoint).toBe("http://worker.example:30001/");
  });

  test("a change is 503 E10001 and stays, for the next call to be answered for", async () => {
    await stage.stop();
    stage = await startStage({ coordinator: { circuit_ack_timeout: 3 } });
    const silent = await stage.worker({ authority: "w" });
    const first = await sync(service());
    silent.answers = false;
    expect((await refusal(sync(service({ open_to_public: true }))))[2]).toBe("E10001: Proxy worker not responding");
    silent.answers = true;
    expect(await sync(service({ open_to_public: true }))).toEqual(first);
    expect(await stage.circuitOf(ID)).toMatchObject({ open_to_public: true, revision: 2 });
  });

  test("a change of many fails with the URL, because the endpoint is there, and says why", async () => {
    await stage.stop();
    stage = await startStage({ coordinator: { circuit_ack_timeout: 3 } });
    const silent = await stage.worker({ authority: "w" });
    const { endpoint: url } = await sync(service());
    silent.answers = false;
    const entry = { deployment_id: ID, ...service({ open_to_public: true, health_check: {} }) };
    const { endpoints } = await stage.client.syncEndpoints({ body: { endpoints: [entry] } });
    const error = "E10001: Proxy worker not responding";
    expect(endpoints).toEqual([{ deployment_id: ID, url, health_check_enabled: true, success: false, error }]);
  });

  test("no caller is told of a circuit that was taken back while it waited too", async () => {
    await stage.stop();
    stage = await startStage({ coordinator: { circuit_ack_timeout: 3 } });
    (await stage.worker({ authority: "w" })).answers = false;
    const first = refusal(sync(service()));
    await until(() => stage.told.length > 0);
    const all = await Promise.all([first, ...Array.from({ length: 8 }, () => refusal(sync(service())))]);
    expect(new Set(all.map(([status]) => status))).toEqual(new Set([503]));
    expect(await stage.circuitOf(ID)).toBeUndefined();
  });
});
