/** Fields of requests: unknown ones do not matter, older names are read, and what belongs to users stays as it is. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { isRecord } from "../../../shared/values.ts";
import { startFakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator } from "../../support/lone-coordinator.ts";
import { confBody } from "../../support/manager.ts";
import { startUsual, type Started } from "./places.ts";
import { route, service, Stage, type Given, type Name } from "./stage.ts";
import { plans, table } from "./table.ts";

let started: Started;
let stage: Stage;
beforeAll(async () => {
  started = await startUsual(40);
  ({ stage } = started);
});
afterEach(() => stage.clear());
afterAll(() => started.stop());

const all = table.map((call) => ({ ...call, title: call.documented.name }));
const withBody = all.filter(({ documented }) => documented.hasBody);
const MORE = { unknown_field: 1, "unknown-field": { deep: [null] } };

/** But of filters: whoever misspells one would get everything (circuits/filters.test.ts). */
const unfiltered = all.filter(({ name }) => name !== "listCircuits");

describe("unknown fields are ignored in the query of", () => {
  test.each(unfiltered)("$title", async ({ name, plan }) => {
    const input = await plan.good(stage);
    const query = { ...input.query, unknown_field: "1", "unknown-field": "[", app_mode: "" };
    await plan.so(await stage.call(name, { ...input, query }), input, stage);
  });
});

describe("unknown fields are ignored everywhere in the body of", () => {
  test.each(withBody)("$title", async ({ name, plan }) => {
    const input = await plan.good(stage);
    const body = eachObject(input.body, (inner) => ({ ...inner, ...MORE }));
    await plan.so(await stage.call(name, { ...input, body }), input, stage);
  });
});

describe.each(["__proto__", "constructor", "toString", "--proto--", "__proto--", "--defineGetter--"])(
  "an unknown field that every object has is ignored",
  (name) => {
    test.each(["{}", "1"])(`${name}: %s in a body`, async (value) => {
      const input = await plans.configure.good(stage);
      const body = `{"${name}":${value},${JSON.stringify(input.body).slice(1)}`;
      expect((await stage.send("configure", { body })).status).toBe(200);
    });

    test.each(["listSlots", "listWorkers"] as const)(`${name} in the query of %s`, async (call) => {
      for (const value of ["x", ""]) expect((await stage.send(call, { query: { [name]: value } })).status).toBe(200);
    });
  },
);

describe("keys with hyphens are read in the body of", () => {
  test.each(withBody)("$title", async ({ name, plan }) => {
    const input = await plan.good(stage);
    const body = eachObject(input.body, (inner) =>
      Object.fromEntries(Object.entries(inner).map(([key, value]) => [key.replaceAll("_", "-"), value])),
    );
    await plan.so(await stage.call(name, { ...input, body }), input, stage);
  });
});

describe("an app's environment and arguments", () => {
  const ENVS = { "MY-KEY": { "inner-key": [1, { "deep-er": null }] }, "": "empty", under_score: "한글 %2F+&" };
  const opened = async (name: "open" | "openByQuery", wish: Record<string, unknown>) => {
    const whole = { ...(await stage.token()), app: "a", protocol: "http", ...wish };
    const { circuit_id: id } = (await stage.call(name, name === "open" ? { body: whole } : { query: whole })) as {
      circuit_id: string;
    };
    const { envs, arguments: args } = await stage.client.getCircuit({ circuit_id: id });
    return { envs, args };
  };

  test.each<[string, "open" | "openByQuery", unknown]>([
    ["an object in a body", "open", ENVS],
    ["JSON text in a body", "open", JSON.stringify(ENVS)],
    ["JSON text in a query", "openByQuery", JSON.stringify(ENVS)],
    ["an object that is written as JSON in a query", "openByQuery", ENVS],
  ])("come as %s, and their keys are the user's", async (_how, name, envs) => {
    expect((await opened(name, { envs })).envs).toEqual(ENVS);
  });

  test.each<[string, "open" | "openByQuery", unknown]>([
    ["null", "open", null],
    ["null as text", "open", "null"],
    ["no text", "open", " "],
    ["no text in a query", "openByQuery", ""],
    ["nothing", "openByQuery", undefined],
  ])("are none when the request has %s", async (_what, name, envs) => {
    expect((await opened(name, { envs })).envs).toEqual({});
  });

  test.each(['{"a":1}', '["--x"]', "123", "true", "null", "--port 80 --path '/a b'", '{"unclosed', "a=1&b=2+3"])(
    "stay text, whatever the arguments look like: %s",
    async (args) => {
      expect([await opened("open", { args }), await opened("openByQuery", { args })]).toEqual([
        { envs: {}, args },
        { envs: {}, args },
      ]);
    },
  );

  test("reach a worker's snapshot as they were given", async () => {
    await opened("open", { envs: ENVS });
    const { workers } = await stage.client.listWorkers({});
    const id = workers.find(({ authority }) => authority === "worker-1")?.id ?? "";
    expect((await stage.client.getWorkerCircuits({ worker_id: id })).circuits.map(({ envs }) => envs)).toEqual([ENVS]);
  });
});

describe("endpoint_id is another name of deployment_id", () => {
  test.each<[Name, (id: string) => object]>([
    ["syncEndpoints", service],
    ["replaceRoutes", () => ({ routes: [route()] })],
    ["registerRoutes", () => ({ routes: [route()] })],
    ["unregisterRoutes", () => ({ route_ids: [crypto.randomUUID()] })],
    ["deleteEndpoints", () => ({})],
  ])("in %s, with a hyphen too", async (name, rest) => {
    for (const key of ["endpoint_id", "endpoint-id", "deployment-id"]) {
      const { endpoint_id: id } = await stage.endpoint();
      const answer = await stage.send(name, { body: { endpoints: [{ [key]: id.toUpperCase(), ...rest(id) }] } });
      expect(answer).toMatchObject({ status: 200, body: { endpoints: [{ deployment_id: id, success: true }] } });
    }
  });
});

describe("group_id is another name of project_id", () => {
  const PROJECT = "66666666-7777-4888-8999-aaaaaaaaaaaa";
  const names = ["project_id", "group_id", "project-id", "group-id"];
  let lone: Awaited<ReturnType<typeof startLoneCoordinator>>;
  let own: { id: string; stop(): Promise<void> };

  beforeAll(async () => {
    lone = await startLoneCoordinator({});
    own = await startFakeWorker(lone.manager, lone.redis.port, {
      ...new Stage(lone.manager).registration(),
      accepted_traffics: ["interactive", "inference"],
      app_filters: [{ key: "session.project_id", value: PROJECT }],
    });
  });
  afterAll(async () => {
    await own.stop();
    await lone.stop();
  });
  // It has two ports.
  afterEach(() => new Stage(lone.manager).clear());

  test.each(names)("in a session of POST /v2/conf: %s", async (name) => {
    const { session, ...kernel } = confBody({ kernel_port: 1 });
    const { project_id: _, ...rest } = session;
    const body = { ...kernel, session: { ...rest, [name]: PROJECT } };
    const { token } = (await lone.manager.api("POST", "/v2/conf", body)).body;
    const opened = await lone.manager.auth(String(token), session.id);
    expect(await workerOf(String(opened.body["circuit_id"]))).toBe(own.id);
  });

  test.each(names)("in the tags of POST /v2/endpoints/{id}: %s", async (name) => {
    const id = crypto.randomUUID();
    const { tags, ...rest } = service(id);
    const { project_id: _, ...session } = tags.session;
    const given: Given = { body: { ...rest, tags: { ...tags, session: { ...session, [name]: PROJECT } } } };
    expect((await new Stage(lone.manager).send("syncEndpoint", { endpoint_id: id, ...given })).status).toBe(200);
    expect(await workerOf((await new Stage(lone.manager).circuitOf(id)).id)).toBe(own.id);
  });

  async function workerOf(circuitId: string): Promise<string> {
    return (await new Stage(lone.manager).client.getCircuit({ circuit_id: circuitId })).worker;
  }
});

// --- internal ---

/** Changes every object of a body but what is the user's own. */
function eachObject(value: unknown, change: (one: Record<string, unknown>) => Record<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => eachObject(one, change));
  if (!isRecord(value)) return value;
  const inner = Object.entries(value).map(([key, one]) => [key, key === "envs" ? one : eachObject(one, change)]);
  return change(Object.fromEntries(inner) as Record<string, unknown>);
}
