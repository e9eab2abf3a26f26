/** Which circuits a list has: those that fit all filters, in pages that go on when a circuit goes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newKernel } from "../../support/manager.ts";
import { routeTo, service, startStage, type Stage } from "../../support/model-service.ts";

const ENDPOINT = "0e000000-0000-4000-8000-00000000000a";
const [ALICE, BOB] = ["a11ce000-0000-4000-8000-000000000001", "b0b00000-0000-4000-8000-000000000002"];

let stage: Stage;
/** Circuits by what they are called here. */
const ids = new Map<string, string>();
const sessions = new Map<string, string>();

async function open(name: string, user_uuid: string, kernel: object, wish: object): Promise<void> {
  const { token, sessionId } = await stage.manager.conf({ ...newKernel(), ...kernel, user_uuid });
  const { body } = await stage.manager.auth(token, sessionId, { ...wish });
  ids.set(name, String(body["circuit_id"]));
  sessions.set(name, sessionId);
}

beforeAll(async () => {
  stage = await startStage();
  await stage.worker({
    authority: "ports",
    hostname: "Worker.example",
    accepted_traffics: ["interactive", "inference"],
  });
  const names = { frontend_mode: "wildcard", wildcard_domain: ".apps.example", wildcard_traffic_port: 8443 };
  await stage.worker({ authority: "names", ...names, port_range: null, accepted_traffics: ["interactive"] });
  await open("one", ALICE, { kernel_host: "10.0.0.1", kernel_port: 8888 }, { port: 30_001 });
  await open("two", BOB, { kernel_host: "10.0.0.1", kernel_port: 9999 }, { port: 30_002, app: "code" });
  await open("named", ALICE, { kernel_host: "fd00::1", kernel_port: 8888 }, { subdomain: "lab" });
  await stage.manager.api("POST", `/v2/endpoints/${ENDPOINT}`, service());
  const routes = { endpoints: [{ deployment_id: ENDPOINT, routes: [routeTo(1, { kernel_host: "10.0.0.9" })] }] };
  await stage.manager.api("POST", "/v2/endpoints/bulk/routes", routes);
  ids.set("model", (await stage.circuitOf(ENDPOINT))?.id ?? "");
});
afterAll(() => stage.stop());

async function list(query: Record<string, string>) {
  const answer = await stage.manager.api("GET", `/api/circuits?${new URLSearchParams(query).toString()}`);
  const circuits = (answer.body["circuits"] as { id: string }[] | undefined) ?? [];
  const named = new Map([...ids].map(([name, id]) => [id, name]));
  return { ...answer, names: circuits.map(({ id }) => named.get(id) ?? id) };
}

describe("a list of circuits has", () => {
  test.each<[Record<string, string>, string[]]>([
    [{}, ["one", "two", "named", "model"]],
    [{ port: "30002" }, ["two"]],
    [{ port: "30003" }, []],
    [{ subdomain: "LAB" }, ["named"]],
    [{ host: "worker.EXAMPLE" }, ["one", "two", "model"]],
    [{ host: "worker.example:30001" }, ["one"]],
    [{ host: "lab.apps.example" }, ["named"]],
    [{ host: "lab.apps.example:8443" }, ["named"]],
    [{ host: "apps.example" }, []],
    [{ user_id: ALICE.toUpperCase() }, ["one", "named"]],
    [{ user_id: ALICE, worker: "ports" }, ["one"]],
    [{ kernel: "10.0.0.1" }, ["one", "two"]],
    [{ kernel: "10.0.0.1:9999" }, ["two"]],
    [{ kernel: "[fd00:0::1]:8888" }, ["named"]],
    [{ kernel: "fd00::1" }, ["named"]],
    [{ kernel: "10.0.0.9" }, ["model"]],
    [{ app: "code", user_id: BOB }, ["two"]],
    [{ created_before: "2020-01-01T00:00:00Z" }, []],
    [{ created_after: "2020-01-01T00:00:00+09:00", app: "code" }, ["two"]],
    [{ created_after: "2100-01-01T00:00:00Z" }, []],
  ])("for %j: %j", async (query, names) => {
    expect(await list(query)).toMatchObject({ status: 200, names });
  });

  test("those of a session", async () => {
    expect((await list({ session_id: sessions.get("two") ?? "" })).names).toEqual(["two"]);
  });
});

describe("a filter that is none is refused", () => {
  test.each([
    [
      "a name that is misspelt",
      { userid: ALICE },
      /^query: wanted one of origin_request_id, .*user_id.*, got "userid"$/,
    ],
    ["a port out of range", { port: "70000" }, /^port: wanted an integer from 1 to 65535, got 70000$/],
    ["a host that is a URL", { host: "http://worker.example/" }, /^host: wanted a host, or host:port, got /],
    ["a kernel that is empty", { kernel: "" }, /^kernel: wanted text of length from 1 to 261, got ""$/],
    [
      "a time that is none",
      { created_after: "yesterday" },
      /^created_after: wanted a time with its zone, .* got "yesterday"$/,
    ],
    [
      "a time without a zone",
      { created_before: "2026-01-01T10:00:00" },
      /^created_before: wanted a time with its zone/,
    ],
    ["a time in quotes", { created_after: '"2026-01-01T10:00:00Z"' }, /^created_after: wanted a time with its zone/],
    ["a user who is no UUID", { user_id: "alice" }, /^user_id: wanted a UUID, got "alice"$/],
    [
      "a page after nothing",
      { after: "1.x" },
      /^after: wanted `next` of a page or the id of an existing circuit, got "1.x"$/,
    ],
  ])("%s", async (_what, query, msg) => {
    const { status, body } = await list(query);
    expect([status, body["msg"]]).toEqual([400, expect.stringMatching(msg) as string]);
  });
});

test("a page goes on where the last one ended, also when the circuit there has gone meanwhile", async () => {
  const app = "paged";
  const names = ["first", "second", "third", "fourth"];
  for (const [at, name] of names.entries())
    await open(name, BOB, { kernel_host: "10.0.9.9", kernel_port: 1 + at }, { port: 30_005 + at, app });
  const whole = await list({ app, limit: "4" });
  expect([whole.names, whole.body["next"]]).toEqual([names, null]);
  const page = await list({ app, limit: "2" });
  expect(page.names).toEqual(["first", "second"]);
  const after = String(page.body["next"]);
  await stage.manager.api("DELETE", `/api/circuit/${ids.get("second") ?? ""}`);
  expect((await list({ app, limit: "2", after })).names).toEqual(["third", "fourth"]);
  // As before there were cursors: the id of a circuit that is there.
  expect((await list({ app, after: ids.get("third") ?? "" })).names).toEqual(["fourth"]);
  await Promise.all(names.map((name) => stage.manager.api("DELETE", `/api/circuit/${ids.get(name) ?? ""}`)));
});
