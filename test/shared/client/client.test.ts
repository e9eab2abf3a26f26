/** The typed client of the coordinator's API: what it sends, what it takes for an answer, and what it says when there is none. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { CallFailed, createClient, type Client, type ClientOptions } from "../../../shared/client/client.ts";
import { operations, type Operation } from "../../../shared/protocol/operations.ts";
import { documented } from "../../coordinator/calls/document.ts";
import { freePort } from "../../support/ports.ts";
import { rawServer } from "../../support/raw.ts";
import { atEnd } from "../../support/at-end.ts";

const SECRET = "the-api-secret-0123456789";
const ID = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
const GOOD = { api_version: "v2", advertise_address: "http://coordinator.example" };

/** What has been asked, and what is answered next. */
let asked: {
  method: string;
  url: string;
  path: string;
  query: Record<string, string>;
  headers: Headers;
  body: string;
}[] = [];
let answer: (request: Request) => Response | Promise<Response>;
let server: Bun.Server<undefined>;
let baseUrl: string;

beforeAll(() => {
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { method, url, headers } = request;
      const { pathname: path, searchParams } = new URL(url);
      asked.push({ method, url, path, query: Object.fromEntries(searchParams), headers, body: await request.text() });
      return answer(request);
    },
  });
  baseUrl = `http://127.0.0.1:${server.port}`;
});
beforeEach(() => {
  asked = [];
  answer = () => Response.json(GOOD);
});
afterAll(() => server.stop(true));

const client = (options: Partial<ClientOptions> = {}): Client<typeof operations> =>
  createClient(operations, { baseUrl, secret: SECRET, ...options });

/** How a call fails; anything but CallFailed is thrown on. */
async function failure(call: Promise<unknown>): Promise<CallFailed> {
  const error = await call.then(
    () => new Error("it did not fail"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof CallFailed) return error;
  throw error;
}

describe("the operations", () => {
  const all = Object.entries(operations as Record<string, Operation>).map(([name, operation]) => ({
    name,
    operation,
    found: documented.find((one) => one.name === `${operation.method} ${operation.path}`),
  }));

  test("are exactly the documented ones, but for the figures, which are text", () => {
    const mine = all.map(({ operation: { method, path } }) => `${method} ${path}`);
    expect(mine.toSorted()).toEqual(documented.map(({ name }) => name).filter((name) => name !== "GET /metrics").toSorted()); // prettier-ignore
  });

  test.each(all)(
    "$name takes a body when the document has one, and no field in its query that is not there",
    ({ operation, found }) => {
      expect(operation.body !== undefined).toBe(found?.hasBody ?? false);
      const fields = Object.keys((operation.query?.["properties"] ?? {}) as object);
      expect(fields.toSorted()).toEqual(found?.query.toSorted() ?? []);
    },
  );
});

describe("what is sent", () => {
  test("has the path's parameters, encoded", async () => {
    answer = () => Response.json({ success: true });
    await client().close({ token: "a/b?c#d%20", session_id: "é 한", query: { app: "x" } });
    const path = `/v2/proxy/${encodeURIComponent("a/b?c#d%20")}/${encodeURIComponent("é 한")}/delete`;
    expect(asked.map((one) => `${one.method} ${one.path}`)).toEqual([`GET ${path}`]);
  });

  test.each(["..", ".", ""])("never has another path for its parameter: %j", async (worker_id) => {
    await failure(client().getWorkerCircuits({ worker_id }));
    for (const { path } of asked) expect(path).toMatch(/^\/api\/worker\/[^/]+\/circuits$/);
  });

  test("has a query with objects as JSON, and without what is null or not there", async () => {
    answer = () => Response.json({ code: 200, url: "http://x.example/" });
    const query = { app: "a b&c=d", protocol: "http", envs: { "A-B": [1, null] }, args: '{"a":1}', port: 8080, no_reuse: false, subdomain: null, redirect: "" } as const; // prettier-ignore
    await client().whereToOpen({ token: ID, session_id: ID, query });
    expect(asked[0]?.query).toEqual({
      app: "a b&c=d",
      protocol: "http",
      envs: '{"A-B":[1,null]}',
      args: '{"a":1}',
      port: "8080",
      no_reuse: "false",
      redirect: "",
    });
  });

  test("has no question mark without a query", async () => {
    answer = () => Response.json({ slots: [] });
    await client().listSlots({ query: {} });
    expect(asked.map(({ url }) => url)).toEqual([`${baseUrl}/api/slots`]);
  });

  test("has a JSON body, and no body where the call has none", async () => {
    answer = () => Response.json({ success: true });
    await client().deleteCircuits({ body: { circuit_ids: [ID] } });
    await client().deleteCircuit({ circuit_id: ID });
    expect(asked.map(({ body, headers }) => [body, headers.get("content-type")])).toEqual([
      [`{"circuit_ids":["${ID}"]}`, "application/json"],
      ["", null],
    ]);
  });

  test("has the secret, asks for JSON, and has the client's and the call's own headers, of which the call's win", async () => {
    const always = { "X-Backend-Request-ID": "always", "X-Other": "1" };
    await client({ headers: always }).whereabouts({}, { "X-Backend-Request-ID": "now" });
    await client({ secret: null }).whereabouts({});
    const seen = asked.map(({ headers }) =>
      ["accept", "x-backendai-token", "x-backend-request-id", "x-other"].map((name) => headers.get(name)),
    );
    expect(seen).toEqual([
      ["application/json", SECRET, "now", "1"],
      ["application/json", null, null, null],
    ]);
  });

  test.each(["", "/", "//", "/behind/a/path/"])("goes to a base that ends with %j", async (end) => {
    await client({ baseUrl: baseUrl + end }).whereabouts({});
    expect(asked[0]?.path).toBe(`${end.replace(/\/+$/, "")}/status`);
  });

  test("is checked by the compiler", () => {
    const typed = () => [
      // @ts-expect-error a parameter of the path is missing
      client().getCircuit({}),
      // @ts-expect-error a field of the body is missing
      client().configure({ body: { kernel_host: "h" } }),
      // @ts-expect-error a field of the query is of another type
      client().listCircuits({ query: { limit: "1" } }),
    ];
    expect(typed).toBeFunction();
  });
});

describe("an answer", () => {
  test("is given as it came, with what newer coordinators may add", async () => {
    const calls = { one: { method: "GET", path: "/one", answer: Type.Object({ known: Type.String() }) } } as const;
    answer = () => Response.json({ known: "a", more: [1] });
    expect(await createClient(calls, { baseUrl, secret: null }).one({})).toEqual({ known: "a", more: [1] } as never);
  });

  test("is taken with every good status", async () => {
    answer = () => Response.json(GOOD, { status: 201 });
    expect(await client().whereabouts({})).toEqual(GOOD as never);
  });

  test("may be read in another way before it is checked", async () => {
    answer = () => Response.json({ older: true });
    expect(await client({ read: () => GOOD }).whereabouts({})).toEqual(GOOD as never);
  });

  test.each<[string, Response, RegExp]>([
    ["of another shape", Response.json({ ...GOOD, api_version: "v3" }), /answered something else: \/api_version /],
    ["that is a list", Response.json([GOOD]), /answered something else: /],
    ["that is no JSON", new Response("<html>hello</html>"), /answered something else: /],
    ["that is nothing", new Response(null, { status: 204 }), /answered something else: /],
  ])("%s is a failure without a status", async (_what, wrong, message) => {
    answer = () => wrong;
    const { status, problem, message: said } = await failure(client().whereabouts({}));
    expect([status, problem]).toEqual([null, null]);
    expect(said).toMatch(message);
    expect(said).toStartWith(`GET ${baseUrl}/status `);
  });

  test("is checked by each call's own schema", async () => {
    const calls = { one: { method: "GET", path: "/one", answer: Type.Literal(1) }, two: { method: "GET", path: "/two", answer: Type.Literal(2) } } as const; // prettier-ignore
    const numbers = createClient(calls, { baseUrl, secret: null });
    answer = () => Response.json(1);
    expect(await numbers.one({})).toBe(1);
    expect((await failure(numbers.two({}))).message).toContain("/two answered something else");
  });
});

describe("a refusal", () => {
  const problem = {
    type: "https://api.backend.ai/probs/invalid-api-params",
    title: "Missing or invalid API parameters.",
    error_code: "agent_request_invalid-parameters",
    msg: "exp: wanted a time to come, got 1",
    data: { fields: [] },
  };

  test("carries its status and its problem, and says both", async () => {
    answer = () => Response.json(problem, { status: 400, headers: { "Content-Type": "application/problem+json" } });
    const failed = await failure(client().mintToken({ endpoint_id: ID, body: { user_uuid: ID, exp: 1 } }));
    expect([failed.status, failed.problem, failed.name]).toEqual([400, problem, "CallFailed"]);
    expect(failed.message).toBe(
      `POST ${baseUrl}/v2/endpoints/{endpoint_id}/token answered 400: ${problem.title} ${problem.msg}`,
    );
  });

  test.each<[number, string]>([
    [401, "no"],
    [404, ""],
    [502, "<html>Bad gateway</html>"],
    [503, '{"error":"of another kind"}'],
    [500, '"text"'],
    [302, ""],
  ])("that is no problem carries its status: %d %s", async (status, text) => {
    answer = () => new Response(text, { status, headers: { Location: "/elsewhere" } });
    const failed = await failure(client().whereabouts({}));
    expect([failed.status, failed.problem, failed.message]).toEqual([
      status,
      null,
      `GET ${baseUrl}/status answered ${status}: no problem document`,
    ]);
    // Nothing is repeated or followed: whoever calls may do that.
    expect(asked.map(({ path }) => path)).toEqual(["/status"]);
  });

  test("of any length is told in few words", async () => {
    answer = () => new Response("x".repeat(100_000), { status: 500 });
    expect((await failure(client().whereabouts({}))).message.length).toBeLessThan(300);
  });
});

describe("without an answer a call fails with its name and the reason", () => {
  test("when nobody listens", async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    const failed = await failure(client({ baseUrl: nowhere }).getCircuit({ circuit_id: ID }));
    expect([failed.status, failed.problem]).toEqual([null, null]);
    expect(failed.message).toBe(`GET ${nowhere}/api/circuit/{circuit_id}: ECONNREFUSED`);
    expect(failed.cause).toBeInstanceOf(Error);
  });

  test.each<[string, string]>([
    ["closes at once", ""],
    ["breaks off in the head", "HTTP/1.1 200 OK\r\nContent-"],
    ["breaks off in the body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"],
    ["speaks something else", "SSH-2.0-OpenSSH_9.6\r\n"],
  ])("when the other side %s", async (_what, bytes) => {
    const raw = await rawServer((self) => self.reply(bytes, "end"));
    atEnd(() => raw.stop());
    const failed = await failure(client({ baseUrl: `http://127.0.0.1:${raw.port}` }).whereabouts({}));
    expect([failed.status, failed.problem]).toEqual([null, null]);
    expect(failed.message).toStartWith(`GET http://127.0.0.1:${raw.port}/status: `);
  });

  test.each<[string, string]>([
    ["before it begins", ""],
    ["in the middle", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"],
  ])("when it takes too long: %s", async (_when, bytes) => {
    const raw = await rawServer((self) => self.reply(bytes));
    atEnd(() => raw.stop());
    const slow = client({ baseUrl: `http://127.0.0.1:${raw.port}`, timeout: 50 });
    const failed = await failure(slow.whereabouts({}));
    expect([failed.status, failed.message]).toEqual([null, expect.stringContaining("timed out") as string]);
  });
});

describe("no failure tells", () => {
  const token = "8d2a9f3e-7a61-4b6e-9f5d-1b1c8b7a6d5e";
  /** All that a log line could have of it. */
  const told = async (options: Partial<ClientOptions> = {}) => {
    const failed = await failure(client(options).close({ token, session_id: ID, query: { app: "a" } }));
    return `${failed.message} ${JSON.stringify(failed)}`;
  };

  test.each<[string, () => Response]>([
    ["is refused", () => Response.json({ type: "t", title: "No.", error_code: "c" }, { status: 401 })],
    ["is answered with something else", () => Response.json({ success: "no" })],
    ["is answered with nonsense", () => new Response("nonsense")],
  ])("the secret or a token in a path, when the call %s", async (_how, refusal) => {
    answer = refusal;
    const said = await told();
    expect([said.includes(SECRET), said.includes(token)]).toEqual([false, false]);
  });

  test("them when nobody listens, or a secret can't be sent", async () => {
    for (const options of [{ baseUrl: `http://127.0.0.1:${await freePort()}` }, { secret: `${SECRET}\n` }]) {
      const said = await told(options);
      expect([said.includes(SECRET), said.includes(token)]).toEqual([false, false]);
    }
  });

  test("the secret when the other side shows it", async () => {
    answer = ({ headers }) => new Response(`you sent ${headers.get("x-backendai-token")}`, { status: 404 });
    expect(await told()).not.toContain(SECRET);
  });

  test("the password in a coordinator's URL", async () => {
    answer = () => new Response("", { status: 503 });
    expect(await told({ baseUrl: baseUrl.replace("http://", "http://user:pass-word@") })).not.toContain("pass-word");
  });
});

test("64 calls at once each get their own answer", async () => {
  answer = ({ url }) => Response.json({ circuits: [], next: new URL(url).searchParams.get("app") });
  const all = Array.from({ length: 64 }, (_, at) => `app-${at}`);
  const pages = await Promise.all(all.map((app) => client().listCircuits({ query: { app } })));
  expect(pages.map(({ next }) => next)).toEqual(all);
});

describe("several secrets", () => {
  const several = () => client({ secret: ["first-secret-0123", "second-secret-0123", "third-secret-01234"] });
  const sent = () => asked.splice(0).map(({ headers }) => headers.get("x-backendai-token")?.split("-")[0]);
  const told = async (one: Client<typeof operations>) => [(await one.whereabouts({})).api_version, ...sent()];
  const takes = (...good: string[]) => {
    answer = ({ headers }) =>
      good.includes(headers.get("x-backendai-token")?.split("-")[0] ?? "")
        ? Response.json(GOOD)
        : Response.json({ type: "https://api.backend.ai/probs/auth-failed", title: "no" }, { status: 401 });
  };

  test("are tried in turn until one is taken, which comes first from then on", async () => {
    const one = several();
    takes("third");
    expect(await told(one)).toEqual([GOOD.api_version, "first", "second", "third"]);
    expect(await told(one)).toEqual([GOOD.api_version, "third"]);
    // The coordinator has another one by now.
    takes("first");
    expect(await told(one)).toEqual([GOOD.api_version, "third", "first"]);
    expect(await told(one)).toEqual([GOOD.api_version, "first"]);
  });

  test("of which none is taken fail as the first did, and go out once each", async () => {
    const one = several();
    takes();
    expect((await failure(one.whereabouts({}))).status).toBe(401);
    expect(sent()).toEqual(["first", "second", "third"]);
  });

  test.each([403, 404, 409, 500])("are not tried when the answer is %d: the secret was taken", async (status) => {
    answer = () => Response.json({ type: "https://api.backend.ai/probs/x", title: "no" }, { status });
    expect((await failure(several().whereabouts({}))).status).toBe(status);
    expect(sent()).toEqual(["first"]);
  });

  test("send the body again", async () => {
    const body = { deployment_id: ID };
    takes("second");
    await several()
      .deleteEndpoints({ body: { endpoints: [body] } })
      .catch(() => undefined); // the answer is another call's
    expect(asked.map((one) => one.body)).toEqual([JSON.stringify({ endpoints: [body] }), JSON.stringify({ endpoints: [body] })]); // prettier-ignore
  });
});
