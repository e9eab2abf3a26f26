/** What a caller can get wrong, call by call: the status, the type and the field named; nothing is recorded. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SignJWT } from "jose";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { API_SECRET, confBody, type Answer } from "../../support/manager.ts";
import { until } from "../../support/until.ts";
import { atEnd } from "../../support/at-end.ts";

const SESSION = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
const SOME_ID = "00000000-0000-4000-8000-000000000001";
const BAD_REDIRECT = "400 invalid-api-params: redirect: wanted a path that starts with a single / and has no backslash";

let cluster: Cluster;
/** A token that is good for SESSION. */
let token: string;

beforeAll(async () => {
  cluster = await startCluster();
  ({ token } = await cluster.manager.conf({ kernel_port: 8080, session_id: SESSION }));
});

afterAll(() => cluster.stop());

/** The type's last part, and what the message says. */
function told({ status, body }: Answer): string {
  return `${status} ${String(body["type"]).split("/probs/")[1]}: ${String(body["msg"] ?? body["title"])}`;
}

async function recorded(): Promise<unknown> {
  return (await cluster.manager.api("GET", "/api/circuits")).body["circuits"];
}

const conf = confBody({ kernel_port: 8080, session_id: SESSION });
const { session } = conf;

describe("POST /v2/conf", () => {
  test.each<[string, unknown, string]>([
    ["a port of 0", { ...conf, kernel_port: 0 }, "kernel_port: wanted an integer from 1 to 65535, got 0"],
    ["a port of 65536", { ...conf, kernel_port: 65536 }, "kernel_port: wanted an integer from 1 to 65535, got 65536"],
    [
      "a port that is text",
      { ...conf, kernel_port: "http" },
      'kernel_port: wanted an integer from 1 to 65535, got "http"',
    ],
    [
      "a port with a fraction",
      { ...conf, kernel_port: 1.5 },
      "kernel_port: wanted an integer from 1 to 65535, got 1.5",
    ],
    ["no host", { ...conf, kernel_host: undefined }, "kernel_host: wanted text of length from 1 to 255, got nothing"],
    [
      "a host with a path",
      { ...conf, kernel_host: "127.0.0.1:1/evil?x=" },
      'kernel_host: wanted a host name or an IP address, got "127.0.0.1:1/evil?x="',
    ],
    [
      "a host with a user",
      { ...conf, kernel_host: "u:p@h" },
      'kernel_host: wanted a host name or an IP address, got "u:p@h"',
    ],
    [
      "the cloud's metadata address",
      { ...conf, kernel_host: "169.254.169.254" },
      'kernel_host: wanted an address that a kernel can have, got "169.254.169.254"',
    ],
    [
      "the address of everywhere",
      { ...conf, kernel_host: "0.0.0.0" },
      'kernel_host: wanted an address that a kernel can have, got "0.0.0.0"',
    ],
    ["no session", { ...conf, session: undefined }, "session: wanted an object, got nothing"],
    [
      "a session id that is no UUID",
      { ...conf, session: { ...session, id: "abc" } },
      'session.id: wanted a UUID or null, got "abc"',
    ],
    [
      "no session id",
      { ...conf, session: { ...session, id: undefined } },
      "Not meant for inference apps (session.id: wanted a UUID, got none)",
    ],
    [
      "a session id of null",
      { ...conf, session: { ...session, id: null } },
      "Not meant for inference apps (session.id: wanted a UUID, got none)",
    ],
    [
      "no access key",
      { ...conf, session: { ...session, access_key: undefined } },
      "Not meant for inference apps (session.access_key: wanted text, got none)",
    ],
    [
      "an access key that is a number",
      { ...conf, session: { ...session, access_key: 7 } },
      "session.access_key: wanted text of length at most 255 or null, got [hidden]",
    ],
    ["a list", [], "body: wanted an object, got a list of 0"],
    ["a number", 5, "body: wanted an object, got 5"],
    ["broken JSON", "{", "body: wanted JSON, got something else"],
    ["nothing", undefined, "body: wanted an object, got nothing"],
    ["40 levels", `${"[".repeat(40)}${"]".repeat(40)}`, "body: wanted at most 32 levels of nesting"],
  ])("%s is 400 and names the field", async (_what, body, msg) => {
    expect(told(await cluster.manager.call("POST", "/v2/conf", body))).toBe(`400 invalid-api-params: ${msg}`);
  });

  test("two faults are told together", async () => {
    const answer = await cluster.manager.call("POST", "/v2/conf", { ...conf, kernel_host: "", kernel_port: 0 });
    expect(answer.body["data"]).toEqual({
      fields: [
        { field: "kernel_host", wanted: "text of length from 1 to 255", got: '""' },
        { field: "kernel_port", wanted: "an integer from 1 to 65535", got: "0" },
      ],
    });
  });

  test("unknown fields are ignored", async () => {
    const body = { ...conf, more: 1, session: { ...session, more: 1 } };
    expect((await cluster.manager.call("POST", "/v2/conf", body)).status).toBe(200);
  });

  test("a body over 1 MiB is 413, announced or not", async () => {
    const big = JSON.stringify({ ...conf, login_session_token: "x".repeat(1024 * 1024) });
    expect(told(await cluster.manager.call("POST", "/v2/conf", big))).toStartWith(
      "413 payload-too-large: body: wanted at most 1048576 bytes",
    );
    const chunked = await fetch(`${cluster.coordinator.baseUrl}/v2/conf`, {
      method: "POST",
      body: new Blob([big]).stream(),
    });
    expect(chunked.status).toBe(413);
  });

  test("a token that comes must be right", async () => {
    for (const headers of [{ "X-BackendAI-Token": "wrong" }, { Authorization: "Bearer wrong" }]) {
      expect(told(await cluster.manager.call("POST", "/v2/conf", conf, headers))).toStartWith("401 auth-failed");
    }
  });

  test.each([
    [false, 401],
    [true, 200],
  ])(
    "from an address that is no Manager's, with allow_unauthorized_configure_request = %p, is %d",
    async (setting, status) => {
      const far = await startCluster({
        coordinator: { manager_cidrs: ["192.0.2.0/24"], allow_unauthorized_configure_request: setting },
      });
      expect((await far.manager.call("POST", "/v2/conf", conf)).status).toBe(status);
      expect((await far.manager.api("POST", "/v2/conf", conf)).status).toBe(200);
      await far.stop();
    },
  );
});

describe("/v2/proxy/auth", () => {
  const good = { app: "jupyter", protocol: "http", session_id: SESSION };

  test.each<[string, Record<string, unknown>, string]>([
    ["a port of 0", { port: 0 }, "400 invalid-api-params: port: wanted an integer from 1 to 65535 or null, got 0"],
    [
      "a port of 65536",
      { port: 65536 },
      "400 invalid-api-params: port: wanted an integer from 1 to 65535 or null, got 65536",
    ],
    [
      "an unknown protocol",
      { protocol: "gopher" },
      '400 invalid-api-params: protocol: wanted one of http, grpc, h2, tcp, preopen, vnc, rdp, got "gopher"',
    ],
    ["no app", { app: undefined }, "400 invalid-api-params: app: wanted text of length from 1 to 255, got nothing"],
    ["an empty app", { app: "" }, '400 invalid-api-params: app: wanted text of length from 1 to 255, got ""'],
    ["a session that is no UUID", { session_id: "x" }, '400 invalid-api-params: session_id: wanted a UUID, got "x"'],
    ["a token that is no UUID", { token: "x" }, "400 invalid-api-params: token: wanted a UUID, got [hidden]"],
    ["an unknown token", { token: SOME_ID }, "404 object-not-found: E00002: No such token."],
    ["a token of another session", { session_id: SOME_ID }, "401 invalid-credentials: E20007: Session ID mismatch"],
    [
      "a truth value that is text",
      { open_to_public: "perhaps" },
      '400 invalid-api-params: open_to_public: wanted true or false or null, got "perhaps"',
    ],
    [
      "envs that are a list",
      { envs: [1] },
      "400 invalid-api-params: envs: wanted an object or text of length at most 65536 or null, got a list of 1",
    ],
    [
      "a bad address list",
      { allowed_client_ips: "10.0.0.1, 300.1.1.1" },
      '400 invalid-api-params: allowed_client_ips: wanted addresses or CIDR ranges, got "300.1.1.1"',
    ],
    ["a redirect to another host", { redirect: "//evil.example" }, BAD_REDIRECT],
    ["a redirect that is no path", { redirect: "https://evil.example" }, BAD_REDIRECT],
    [
      "a port that no worker has",
      { port: 9 },
      "409 appproxy/port-not-available: port: 9 is in no worker's range; wanted one of",
    ],
    [
      "a protocol that no worker speaks",
      { protocol: "vnc" },
      "503 appproxy/worker-not-available: No living worker carries interactive circuits of protocol tcp",
    ],
  ])("%s: POST with JSON names it and records nothing", async (_what, change, expected) => {
    const answer = await cluster.manager.call("POST", "/v2/proxy/auth", { ...good, token, ...change });
    expect(told(answer)).toStartWith(expected);
    expect(await recorded()).toEqual([]);
  });

  test.each<[string, Record<string, string>, string]>([
    ["a port of 0", { port: "0" }, "400 invalid-api-params: port: wanted an integer from 1 to 65535 or null, got 0"],
    [
      "a port that is text",
      { port: "many" },
      '400 invalid-api-params: port: wanted an integer from 1 to 65535 or null, got "many"',
    ],
    ["an unknown protocol", { protocol: "gopher" }, "400 invalid-api-params: protocol: wanted one of"],
    [
      "broken JSON in envs",
      { envs: "{" },
      "400 invalid-api-params: envs: wanted an object or null, got text that is not JSON",
    ],
    ["an unknown token", { token: SOME_ID }, "404 object-not-found"],
    ["a foreign session", { session_id: SOME_ID }, "401 invalid-credentials: E20007: Session ID mismatch"],
  ])("%s: GET with a query names it and records nothing", async (_what, change, expected) => {
    const query = new URLSearchParams({ ...good, token, ...change });
    const answer = await cluster.manager.call("GET", `/v2/proxy/auth?${query.toString()}`, undefined, {
      Accept: "application/json",
    });
    expect(told(answer)).toStartWith(expected);
    expect(await recorded()).toEqual([]);
  });

  test("a list where an object is wanted is told in words of ours", async () => {
    const query = new URLSearchParams({ ...good, token, envs: "[1]" });
    const answer = await cluster.manager.call("GET", `/v2/proxy/auth?${query.toString()}`);
    expect(told(answer)).toBe(
      "400 invalid-api-params: envs: wanted an object or text of length at most 65536 or null, got a list of 1",
    );
  });

  test("broken JSON and an oversized body are refused", async () => {
    expect(told(await cluster.manager.call("POST", "/v2/proxy/auth", "{"))).toStartWith(
      "400 invalid-api-params: body: wanted JSON",
    );
    expect((await cluster.manager.call("POST", "/v2/proxy/auth", "x".repeat(1_100_000))).status).toBe(413);
  });

  test("a person's browser gets a page, a program a problem document", async () => {
    const url = `${cluster.coordinator.baseUrl}/v2/proxy/auth?token=${SOME_ID}&session_id=${SESSION}&app=a&protocol=http`;
    const page = await fetch(url, { headers: { Accept: "text/html,*/*;q=0.8" } });
    expect([page.status, page.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
    expect(page.headers.get("content-security-policy")).toBe("default-src 'none'; style-src 'unsafe-inline'");
    const problem = await fetch(url, { headers: { Accept: "application/json" } });
    const any = await fetch(url, { headers: { Accept: "*/*" } });
    for (const { headers } of [problem, any]) expect(headers.get("content-type")).toBe("application/problem+json");
    for (const { headers } of [page, problem, any]) expect(headers.get("access-control-allow-origin")).toBe("*");
  });

  test("an expired token is refused like one that never was", async () => {
    const short = await startCluster({ coordinator: { token_lifetime: 1 } });
    atEnd(() => short.stop());
    const issued = await short.manager.conf({ kernel_port: 8080 });
    const refused = await until(async () => {
      const answer = await short.manager.auth(issued.token, issued.sessionId);
      return answer.status !== 200 && answer;
    });
    expect(told(refused)).toBe("404 object-not-found: E00002: No such token.");
  });
});

describe("/v2/proxy/{token}/{session}/add and /delete", () => {
  test.each<[string, string]>([
    [`/v2/proxy/x/${SESSION}/add?app=a&protocol=http`, "400 invalid-api-params: token: wanted a UUID, got [hidden]"],
    [`/v2/proxy/${SOME_ID}/x/add?app=a&protocol=http`, '400 invalid-api-params: session_id: wanted a UUID, got "x"'],
    [
      `/v2/proxy/${SOME_ID}/${SESSION}/add?protocol=http`,
      "400 invalid-api-params: app: wanted text of length from 1 to 255, got nothing",
    ],
    [`/v2/proxy/${SOME_ID}/${SESSION}/add?app=a&protocol=z`, "400 invalid-api-params: protocol: wanted one of"],
    [`/v2/proxy/${SOME_ID}/${SESSION}/add?app=a&protocol=http&port=65536`, "400 invalid-api-params: port: wanted"],
    [`/v2/proxy/${SOME_ID}/${SESSION}/delete?app=a`, "404 object-not-found: E00002: No such token."],
    [
      `/v2/proxy/${SOME_ID}/${SESSION}/delete`,
      "400 invalid-api-params: app: wanted text of length at least 1, got nothing",
    ],
  ])("%s", async (path, expected) => {
    expect(told(await cluster.manager.call("GET", path, undefined, { Accept: "application/json" }))).toStartWith(
      expected,
    );
  });
});

describe("the worker's and the operator's calls", () => {
  const worker = {
    authority: "w",
    frontend_mode: "port",
    protocol: "http",
    hostname: "h",
    tls_listen: false,
    tls_advertised: false,
    api_port: 1,
    port_range: [1000, 1010],
    accepted_traffics: ["interactive"],
    filtered_apps_only: false,
    app_filters: [],
  };

  test.each<[string, string, string, unknown, string]>([
    [
      "no authority",
      "PUT",
      "/api/worker",
      { ...worker, authority: "" },
      '400 invalid-api-params: authority: wanted text of length from 1 to 255, got ""',
    ],
    [
      "an unknown mode",
      "PUT",
      "/api/worker",
      { ...worker, frontend_mode: "tunnel" },
      '400 invalid-api-params: frontend_mode: wanted one of port, wildcard, got "tunnel"',
    ],
    [
      "no port range",
      "PUT",
      "/api/worker",
      { ...worker, port_range: null },
      "400 invalid-api-params: port_range: wanted [first, last] for a worker in port mode, got null",
    ],
    [
      "a range upside down",
      "PUT",
      "/api/worker",
      { ...worker, port_range: [9, 2] },
      "400 invalid-api-params: port_range: wanted [first, last]",
    ],
    [
      "a range of one",
      "PUT",
      "/api/worker",
      { ...worker, port_range: [9] },
      "400 invalid-api-params: port_range: wanted a list from 2 to 2 or null, got a list of 1",
    ],
    [
      "no domain",
      "PUT",
      "/api/worker",
      { ...worker, frontend_mode: "wildcard" },
      "400 invalid-api-params: wildcard_domain: wanted a domain that starts with a dot, got null",
    ],
    [
      "no traffic",
      "PUT",
      "/api/worker",
      { ...worker, accepted_traffics: [] },
      "400 invalid-api-params: accepted_traffics: wanted a list of at least 1, got a list of 0",
    ],
    [
      "an API port of 0",
      "PUT",
      "/api/worker",
      { ...worker, api_port: 0 },
      "400 invalid-api-params: api_port: wanted an integer from 1 to 65535, got 0",
    ],
    ["broken JSON", "PUT", "/api/worker", "{", "400 invalid-api-params: body: wanted JSON, got something else"],
    ["an unknown worker", "PATCH", `/api/worker/${SOME_ID}`, undefined, "404 object-not-found"],
    [
      "a bad node id",
      "PATCH",
      `/api/worker/${SOME_ID}`,
      { node_id: "a b" },
      "400 invalid-api-params: node_id: wanted text like",
    ],
    ["an unknown worker", "DELETE", `/api/worker/${SOME_ID}`, undefined, "404 object-not-found"],
    ["an unknown worker", "GET", `/api/worker/${SOME_ID}`, undefined, "404 object-not-found"],
    ["an unknown worker", "GET", `/api/worker/${SOME_ID}/circuits`, undefined, "404 object-not-found"],
    [
      "a worker id that is none",
      "GET",
      "/api/worker/me",
      undefined,
      '400 invalid-api-params: worker_id: wanted a UUID, got "me"',
    ],
    [
      "a circuit id that is none",
      "GET",
      "/api/circuit/x",
      undefined,
      '400 invalid-api-params: circuit_id: wanted a UUID, got "x"',
    ],
    [
      "a circuit id that is none",
      "DELETE",
      "/api/circuit/x",
      undefined,
      '400 invalid-api-params: circuit_id: wanted a UUID, got "x"',
    ],
    [
      "a limit of 0",
      "GET",
      "/api/circuits?limit=0",
      undefined,
      "400 invalid-api-params: limit: wanted an integer from 1 to 1000, got 0",
    ],
    [
      "a limit that is text",
      "GET",
      "/api/circuits?limit=all",
      undefined,
      '400 invalid-api-params: limit: wanted an integer from 1 to 1000, got "all"',
    ],
    [
      "a session that is none",
      "GET",
      "/api/circuits?session_id=x",
      undefined,
      '400 invalid-api-params: session_id: wanted a UUID, got "x"',
    ],
    [
      "a page after nothing",
      "GET",
      `/api/circuits?after=${SOME_ID}`,
      undefined,
      "400 invalid-api-params: after: wanted `next` of a page or the id of an existing circuit",
    ],
    [
      "in_use that is neither",
      "GET",
      "/api/slots?in_use=maybe",
      undefined,
      '400 invalid-api-params: in_use: wanted true or false, got "maybe"',
    ],
    ["an unknown path", "GET", "/api/nothing", undefined, "404 url-not-found"],
    ["a method that is not there", "DELETE", "/v2/conf", undefined, "405 method-not-allowed"],
  ])("%s: %s %s", async (_what, method, path, body, expected) => {
    expect(told(await cluster.manager.api(method, path, body))).toStartWith(expected);
    expect(((await cluster.manager.api("GET", "/api/worker")).body["workers"] as unknown[]).length).toBe(1);
  });

  /** RFC 9110 §15.5.6. */
  test.each([
    ["DELETE", "/v2/conf", "POST, OPTIONS"],
    ["DELETE", "/api/circuits", "GET, HEAD, OPTIONS"],
    ["PUT", `/api/circuit/${SOME_ID}`, "GET, HEAD, DELETE, OPTIONS"],
    ["GET", "/v2/endpoints/bulk", "POST, DELETE, OPTIONS"],
    ["POST", "/", "GET, HEAD, OPTIONS"],
    ["PUT", "/v2/proxy/auth/", "GET, HEAD, POST, OPTIONS"],
    ["POST", "/swagger/json", "GET, HEAD, OPTIONS"],
  ])("a 405 says which methods there are: %s %s", async (method, path, allow) => {
    const answer = await cluster.manager.api(method, path);
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, allow]);
  });

  test("no other answer does", async () => {
    for (const [method, path] of [
      ["GET", "/nothing"],
      ["GET", "/status"],
      ["GET", "/api/circuits?limit=0"],
    ] as const)
      expect((await cluster.manager.api(method, path)).headers.get("allow")).toBeNull();
  });

  test("every call but the public ones needs the secret, whatever else is wrong with it", async () => {
    const key = new TextEncoder().encode(API_SECRET);
    const expired = await new SignJWT({}).setProtectedHeader({ alg: "HS256" }).setExpirationTime(1).sign(key);
    const endless = await new SignJWT({}).setProtectedHeader({ alg: "HS256" }).sign(key);
    const strangers = [
      {},
      { "X-BackendAI-Token": "x" },
      { Authorization: `Bearer ${expired}` },
      { Authorization: `Bearer ${endless}` },
    ];
    const calls = [
      ["GET", "/api/circuits?limit=0"],
      ["GET", "/api/circuit/x"],
      ["DELETE", "/api/circuit/x"],
      ["PUT", "/api/worker"],
      ["GET", "/api/worker"],
      ["GET", "/api/worker/x"],
      ["PATCH", "/api/worker/x"],
      ["DELETE", "/api/worker/x"],
      ["GET", "/api/worker/x/circuits"],
      ["GET", "/api/slots?in_use=z"],
    ] as const;
    for (const headers of strangers) {
      for (const [method, path] of calls) {
        const body = method === "PUT" ? "{" : undefined;
        expect(told(await cluster.manager.call(method, path, body, headers as Record<string, string>))).toStartWith(
          "401 auth-failed",
        );
      }
    }
  });

  test("the secret may come in each of its three forms, or as a JWT that expires", async () => {
    const jwt = await new SignJWT({})
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1m")
      .sign(new TextEncoder().encode(API_SECRET));
    const forms = [API_SECRET, `Bearer ${API_SECRET}`, `BackendAI ${API_SECRET}`].map((value) => [
      "X-BackendAI-Token",
      value,
    ]);
    for (const [name = "", value = ""] of [...forms, ["Authorization", `Bearer ${jwt}`]]) {
      expect((await cluster.manager.call("GET", "/api/worker", undefined, { [name]: value })).status).toBe(200);
    }
  });
});
