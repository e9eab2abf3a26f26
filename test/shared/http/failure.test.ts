/** The table of failures that callers match on, and how a failure is shown to programs and to people. */
import { describe, expect, test } from "bun:test";
import { FAILURES, Failure, notFound, reason, type FailureKind } from "../../../shared/failure.ts";
import { failureAnswer, listsJson, wantsPage } from "../../../shared/http/page.ts";

const TABLE: [FailureKind, number, string, string][] = [
  ["url-not-found", 404, "Unknown URL path.", "agent_request_not-found"],
  ["object-not-found", 404, "E00002: No such object.", "agent_read_not-found"],
  ["generic-bad-request", 400, "Bad request.", "agent_request_bad-request"],
  ["invalid-api-params", 400, "Missing or invalid API parameters.", "agent_request_invalid-parameters"],
  ["invalid-credentials", 401, "Authentication credentials not valid.", "agent_auth_unauthorized"],
  ["auth-failed", 401, "Credential/signature mismatch.", "agent_auth_unauthorized"],
  ["generic-forbidden", 403, "Forbidden operation.", "agent_access_forbidden"],
  ["client-ip-not-allowed", 403, "Client address not allowed.", "appproxy_access_forbidden"],
  ["method-not-allowed", 405, "HTTP Method Not Allowed.", "agent_request_bad-request"],
  ["payload-too-large", 413, "Request body too large.", "agent_request_bad-request"],
  ["internal-server-error", 500, "Internal server error.", "agent_generic_internal-error"],
  ["service-unavailable", 503, "Service unavailable.", "agent_generic_unavailable"],
  ["appproxy/worker-not-available", 503, "Worker not available.", "agent_access_not-found"],
  ["appproxy/port-not-available", 409, "Designated port already occupied.", "agent_setup_already-exists"],
  ["appproxy/unsupported-protocol", 400, "Unsupported protocol.", "agent_request_invalid-parameters"],
  ["appproxy/container-connection-refused", 502, "Cannot connect to Backend.AI kernel.", "kernel_access_unreachable"],
  [
    "appproxy/container-connection-timeout",
    504,
    "Backend.AI kernel does not accept the connection in time.",
    "kernel_access_unreachable",
  ],
  ["appproxy/loop", 508, "Loop detected.", "agent_request_bad-request"],
  ["misdirected-request", 421, "Misdirected request.", "agent_request_bad-request"],
  ["appproxy/container-starting", 503, "The app is still starting.", "kernel_access_unreachable"],
  ["appproxy/too-many-connections", 429, "Too many connections.", "appproxy_access_limited"],
  ["appproxy/too-many-circuits", 429, "Too many circuits.", "appproxy_create_limited"],
  ["appproxy/opened-too-often", 429, "Opened too often.", "appproxy_access_limited"],
  ["appproxy/worker-registration-error", 403, "E20013: Failed to register worker.", "agent_create_forbidden"],
  ["appproxy/worker-conflict", 409, "Another worker of this authority is alive.", "agent_create_already-exists"],
  [
    "appproxy/coordinator-connection-error",
    502,
    "E20014: Failed to communicate with coordinator.",
    "agent_access_unreachable",
  ],
];

const CORS: [string, string][] = [
  ["Access-Control-Allow-Origin", "*"],
  ["Access-Control-Expose-Headers", "*"],
];

describe("the table", () => {
  test.each(TABLE)("%s answers %d, %p, %p", (kind, status, title, code) => {
    const failure = new Failure(kind);
    expect(failure.httpStatus).toBe(status);
    expect(failure.problem()).toEqual({ type: `https://api.backend.ai/probs/${kind}`, title, error_code: code });
  });

  test("every failure is in the table above", () => {
    expect(Object.keys(FAILURES).toSorted()).toEqual(TABLE.map(([kind]) => kind).toSorted());
  });
});

describe("a failure", () => {
  test("may have another status than its kind, where somebody else is the cause", () => {
    expect(new Failure("appproxy/too-many-connections", { status: 503 }).httpStatus).toBe(503);
  });

  test("says msg and data only when it has them", () => {
    const { type, title, error_code } = new Failure("auth-failed").problem();
    expect(new Failure("auth-failed", "why").problem()).toEqual({ type, title, error_code, msg: "why" });
    expect(new Failure("auth-failed", { data: { a: 1 } }).problem()).toEqual({
      type,
      title,
      error_code,
      data: { a: 1 },
    });
  });

  test("names the object that was not found", () => {
    expect(notFound("circuit").problem().title).toBe("E00002: No such circuit.");
  });

  test("keeps its cause for the log and out of the answer", () => {
    const cause = new Error("10.0.0.5 refused");
    const failure = new Failure("service-unavailable", { msg: "away", cause });
    expect(failure.cause).toBe(cause);
    expect(JSON.stringify(failure.problem())).not.toContain("10.0.0.5");
  });

  test("reads as its msg, else as its title", () => {
    expect([new Failure("auth-failed", "why").message, new Failure("auth-failed").message]).toEqual([
      "why",
      "Credential/signature mismatch.",
    ]);
  });

  test("whatever was thrown has a reason", () => {
    expect([reason(new Error("broken")), reason("text"), reason(7)]).toEqual(["broken", "text", "7"]);
  });
});

describe("Accept", () => {
  test.each([
    [null, false],
    ["", false],
    ["*/*", false],
    ["text/html,application/xhtml+xml,*/*;q=0.8", false],
    ["application/json", true],
    ["text/html, Application/JSON;q=0.5", true],
    ["application/problem+json", true],
    ["application/jsonp", false],
    ["application/json;q=0", false],
    ["application/json;q=0, application/problem+json;q=0.1", true],
    ["application/json ; charset=utf-8 ; q=0.0, */*", false],
  ])("%p lists JSON: %p", (accept, expected) => {
    expect(listsJson(accept)).toBe(expected);
  });

  test.each([
    [null, null, false],
    ["", null, false],
    // fetch() of browsers and programs, curl.
    ["*/*", "cors", false],
    ["*/*", null, false],
    ["image/avif,image/webp,*/*;q=0.8", "no-cors", false],
    ["application/json", null, false],
    ["text/html, application/json;q=0.5", null, true],
    ["text/html;q=0.5, application/json", null, false],
    ["text/html, application/json", null, false],
    ["text/html;q=0.7, application/problem+json;q=0.7", null, false],
    ["application/json;q=0", null, false],
    ["application/json;q=0, text/html", null, true],
    ["text/html;q=0, */*", null, false],
    ["text/html;level=1", null, true],
    ["text/*", null, false],
    [`text/html${",a/b;q=0.5".repeat(10_000)}`, null, true],
    ["text/html,application/xhtml+xml,*/*;q=0.8", null, true],
    ["Text/HTML", "cors", true],
    ["*/*", "navigate", true],
    ["text/html", "navigate", true],
    ["application/json", "navigate", true],
  ])("%p in mode %p is for a person: %p", (accept, mode, expected) => {
    const headers: Record<string, string | null> = { accept, "sec-fetch-mode": mode };
    expect(wantsPage((name) => headers[name] ?? null)).toBe(expected);
  });
});

describe("the answer to a failure", () => {
  const failure = new Failure("generic-bad-request", `<b a='1' b="2">&</b>`);

  test("has more members where somebody wants them", () => {
    const { body } = failureAnswer(failure, "json", { more: { error: { code: "x" } } });
    expect(JSON.parse(body)).toEqual({ ...failure.problem(), error: { code: "x" } });
  });

  test("is a problem document for programs, readable from any origin", () => {
    expect(failureAnswer(failure, "json", { errorId: "e-1" })).toEqual({
      status: 400,
      headers: [
        ["Content-Type", "application/problem+json"],
        ["Cache-Control", "no-store"],
        ["Referrer-Policy", "no-referrer"],
        ["X-Error-Id", "e-1"],
        ...CORS,
      ],
      body: JSON.stringify(failure.problem()),
    });
  });

  test("is a page for people that holds no script, loads nothing and is readable from any origin", () => {
    const { status, headers, body } = failureAnswer(failure, "html");
    expect(status).toBe(400);
    expect(headers).toEqual([
      ["Content-Type", "text/html; charset=utf-8"],
      ["Content-Language", "en"],
      ["Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"],
      ["X-Content-Type-Options", "nosniff"],
      ["Referrer-Policy", "no-referrer"],
      ["Cache-Control", "no-store"],
      ["Vary", "Accept, Accept-Language"],
      ...CORS,
    ]);
    expect(body).toStartWith("<!doctype html>");
    expect(body).not.toMatch(/<script|\bsrc=/);
  });

  test("shows what was wrong, app and error id, all escaped", () => {
    const { body } = failureAnswer(failure, "html", { app: "<i>jupyter</i>", errorId: "<e>" });
    expect(body).toContain("<h1>This request can&#x27;t be understood</h1>");
    expect(body).toContain("&lt;b a=&#x27;1&#x27; b=&quot;2&quot;&gt;&amp;&lt;/b&gt;");
    expect(body).toContain("&lt;i&gt;jupyter&lt;/i&gt;");
    expect(body).toContain("Error id: &lt;e&gt;");
    expect(body).not.toMatch(/<b a|<i>|<e>/);
  });

  test("says nothing of an app or an error id that it does not know", () => {
    expect(failureAnswer(new Failure("auth-failed"), "html").body).not.toMatch(/App:|Error id/);
  });

  test("escaping touches only what HTML reads as markup", () => {
    expect(Bun.escapeHTML(`a<b>&"c"'d' 한글 ;`)).toBe("a&lt;b&gt;&amp;&quot;c&quot;&#x27;d&#x27; 한글 ;");
  });
});
