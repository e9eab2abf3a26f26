/** Broken entries of calls about many: each is its own failure and says which field is wrong, and the others are done. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { routeTo, service, startStage, type Stage } from "../../support/model-service.ts";

const A = "0e000000-0000-4000-8000-00000000000a";
const B = "0e000000-0000-4000-8000-00000000000b";
const NEW = "0e000000-0000-4000-8000-00000000000c";

let stage: Stage;

beforeAll(async () => {
  stage = await startStage();
  await stage.worker({ authority: "w" });
  await stage.client.syncEndpoint({ endpoint_id: A, body: service() });
  await stage.client.syncEndpoint({ endpoint_id: B, body: service({ port: 30_009 }) });
  await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: A, routes: [routeTo(1)] }] } });
});

afterAll(() => stage.stop());

async function send(method: string, path: string, endpoints: unknown[]) {
  const { status, body } = await stage.manager.api(method, `/v2/endpoints/${path}`, { endpoints });
  return { status, message: body["msg"], entries: body["endpoints"] as Record<string, unknown>[] };
}

describe("an endpoint", () => {
  const done = (deployment_id: string, url: string) => ({ deployment_id, url, health_check_enabled: false, success: true, error: null }); // prettier-ignore

  test.each([
    ["a name", { service_name: undefined }, "service_name: wanted text of length from 1 to 255, got nothing"],
    ["tags", { tags: undefined }, "tags: wanted an object, got nothing"],
    ["a user that is one", service({}, {}, { user_uuid: "me" }), 'tags.session.user_uuid: wanted a UUID, got "me"'],
    ["publicity that is one", { open_to_public: "yes" }, 'open_to_public: wanted true or false or null, got "yes"'],
    ["a port that is one", { port: 0 }, "port: wanted an integer from 1 to 65535 or null, got 0"],
    ["a free port", { port: 30_009 }, "port: 30009 is already occupied by another circuit"],
    ["a URL for one", service({}, { existing_url: "llama" }), 'tags.endpoint.existing_url: wanted an http or https URL, got "llama"'],
  ])("without %s fails alone and says so", async (_what, fault, error) => {
    const bad = { deployment_id: NEW, ...service(), ...fault };
    const good = [A, B].map((deployment_id) => ({ deployment_id, ...service() }));
    const { status, entries } = await send("POST", "bulk", [good[0], bad, bad, good[1]]);
    const failed = { deployment_id: NEW, url: null, health_check_enabled: false, success: false, error };
    expect(status).toBe(200);
    expect(entries).toEqual([done(A, "http://worker.example:30000/"), failed, failed, done(B, "http://worker.example:30009/")]);
    expect(await stage.circuitOf(NEW)).toBeUndefined();
  }); // prettier-ignore
});

test("an entry that can't be read leaves the endpoint that is there as it is, and tells its URL", async () => {
  const before = await stage.circuitOf(A);
  const bad = { deployment_id: A, ...service({ open_to_public: true }), health_check: { interval: "often" } };
  const { entries } = await send("POST", "bulk", [bad]);
  const error = 'health_check.interval: wanted a number or null, got "often"';
  expect(entries).toEqual([
    { deployment_id: A, url: "http://worker.example:30000/", health_check_enabled: false, success: false, error },
  ]);
  expect(await stage.circuitOf(A)).toEqual(before);
});

describe("a table of routes", () => {
  const NO_KERNEL = "wanted an address that a kernel can have";
  const NO_HOST = "wanted a host name or an IP address";
  const NOTHING = { registered_route_ids: [], already_registered_route_ids: [] };
  const failed = (error: string) => ({ deployment_id: A, success: false, error });

  test.each<[string, object, string]>([
    ["the clouds' metadata", { kernel_host: "169.254.169.254" }, `kernel_host: ${NO_KERNEL}, got "169.254.169.254"`],
    ["the same as one number", { kernel_host: "2852039166" }, `kernel_host: ${NO_KERNEL}, got "2852039166"`],
    ["the same in IPv6", { kernel_host: "::ffff:169.254.1.1" }, `kernel_host: ${NO_KERNEL}, got "::ffff:169.254.1.1"`],
    ["a link-local address", { kernel_host: "fe80::1" }, `kernel_host: ${NO_KERNEL}, got "fe80::1"`],
    ["any address", { kernel_host: "0.0.0.0" }, `kernel_host: ${NO_KERNEL}, got "0.0.0.0"`],
    ["a port in its host", { kernel_host: "10.0.0.1:8000" }, `kernel_host: ${NO_HOST}, got "10.0.0.1:8000"`],
    ["a URL for a host", { kernel_host: "http://kernel/" }, `kernel_host: ${NO_HOST}, got "http://kernel/"`],
    ["no host", { kernel_host: "" }, 'kernel_host: wanted text of length from 1 to 255, got ""'],
    ["port 0", { kernel_port: 0 }, "kernel_port: wanted an integer from 1 to 65535, got 0"],
    ["a port that there is not", { kernel_port: 65_536 }, "kernel_port: wanted an integer from 1 to 65535, got 65536"],
    ["a name for an id", { route_id: "r1" }, 'route_id: wanted a UUID, got "r1"'],
    ["no session", { session_id: undefined }, "session_id: wanted a UUID, got nothing"],
    ["less than no traffic", { traffic_ratio: -1 }, "traffic_ratio: wanted a number from 0 to 1000000 or null, got -1"],
  ])("with a route that has %s fails alone, says so and changes nothing", async (_what, fault, error) => {
    const bad = { deployment_id: A, routes: [routeTo(2), { ...routeTo(3), ...fault }] };
    const good = { deployment_id: B, routes: [routeTo(4)] };
    const replaced = await send("POST", "bulk/routes", [bad, good]);
    expect(replaced.entries).toEqual([failed(`routes.1.${error}`), { deployment_id: B, success: true, error: null }]);
    const { entries } = await send("POST", "bulk/routes/register", [bad, good]);
    expect(entries[0]).toEqual({ ...failed(`routes.1.${error}`), ...NOTHING });
    expect(entries[1]).toMatchObject({ success: true, already_registered_route_ids: [routeTo(4).route_id] });
    const routesOf = async (id: string) => (await stage.circuitOf(id))?.route_info.map(({ route_id }) => route_id);
    expect([await routesOf(A), await routesOf(B)]).toEqual([[routeTo(1).route_id], [routeTo(4).route_id]]);
  });

  test.each([
    ["bulk/routes", "routes", {}],
    ["bulk/routes/register", "routes", NOTHING],
    ["bulk/routes/unregister", "route_ids", { unregistered_route_ids: [], already_absent_route_ids: [] }],
  ])("for %s without its list fails and says so", async (path, list, extra) => {
    const { entries } = await send("POST", path, [{ deployment_id: A }]);
    expect(entries).toEqual([{ ...failed(`${list}: wanted a list, got nothing`), ...extra }]);
  });
});

describe("an entry that names no endpoint", () => {
  test.each([
    ["POST", "bulk"],
    ["DELETE", "bulk"],
    ["POST", "bulk/routes"],
    ["POST", "bulk/routes/register"],
    ["POST", "bulk/routes/unregister"],
  ])("is 400 for the whole %s %s, which says where, and nothing is done", async (method, path) => {
    const before = await stage.circuitOf(B);
    const good = { deployment_id: B, ...service({ open_to_public: true }), routes: [routeTo(9)], route_ids: [] };
    const nobody = [undefined, null, "llama", 7];
    for (const [at, got] of ["nothing", "null", '"llama"', "7"].entries()) {
      const { status, message } = await send(method, path, [good, { ...good, deployment_id: nobody[at] }]);
      expect([status, message]).toEqual([400, `endpoints.1.deployment_id: wanted a UUID, got ${got}`]);
    }
    expect((await send(method, path, [good, A])).message).toBe(
      `endpoints.1: wanted an object, got text of length ${A.length}`,
    );
    expect(await stage.circuitOf(B)).toEqual(before);
    expect(before?.open_to_public).toBe(false);
  });
});
