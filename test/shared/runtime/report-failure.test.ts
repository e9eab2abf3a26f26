/** The log line of a failure: at which level, with what of it, and without secrets. */
import { expect, test } from "bun:test";
import { pino } from "pino";
import { Failure, type FailureKind, toFailure } from "../../../shared/failure.ts";
import { reportFailure, type FailureContext } from "../../../shared/runtime/report-failure.ts";

function told(failure: Failure, about: FailureContext = {}, what?: "connection"): Record<string, unknown> {
  let line = "";
  const log = pino({ level: "debug", base: null, timestamp: false }, { write: (text) => void (line += text) });
  reportFailure(log, failure, about, what);
  return JSON.parse(line) as Record<string, unknown>;
}

const [INFO, WARN, ERROR] = [30, 40, 50];

test("an error that nobody expected is told with its stack, and with that of its cause", () => {
  const cause = new Error("the disk is gone");
  const error = new TypeError("cannot read", { cause });
  const line = told(toFailure(error), { error_id: "e1" });
  expect(line).toEqual({
    level: ERROR,
    msg: "request failed",
    error_id: "e1",
    status: 500,
    reason: "Unexpected error; the log has its details",
    cause: "cannot read",
    stack: expect.stringMatching(
      /TypeError: cannot read\n\s+at [^]*report-failure\.test\.ts[^]*\ncaused by: Error: the disk is gone/,
    ) as string,
  });
});

test.each<[string, unknown, string | undefined]>([
  ["an error without a cause", new Error("plain"), "plain"],
  ["a text", "thrown text", "thrown text"],
  ["a failure of ours that is one", new Failure("internal-server-error", "No worker is recorded"), undefined],
])("%s is one too", (_, thrown, cause) => {
  const { level, cause: said, stack } = told(toFailure(thrown));
  expect([level, said]).toEqual([ERROR, cause]);
  expect(typeof stack).toBe(thrown instanceof Error ? "string" : "undefined");
});

test("a circle of causes ends", () => {
  const error = new Error("round");
  error.cause = error;
  expect(String(told(toFailure(error))["stack"]).split("caused by: ")).toHaveLength(5);
});

const cause = new Error("ECONNREFUSED");

test.each<[FailureKind, unknown, number]>([
  ["appproxy/container-connection-refused", cause, WARN],
  ["service-unavailable", undefined, WARN],
  ["invalid-credentials", cause, INFO],
  ["object-not-found", undefined, INFO],
])("%s is a refusal, without a stack", (kind, why, level) => {
  const failure = new Failure(kind, { cause: why });
  const line = told(failure);
  expect([line["level"], line["msg"], line["cause"], Object.hasOwn(line, "stack")]).toEqual([
    level,
    "request refused",
    failure.cause === undefined ? undefined : "ECONNREFUSED",
    false,
  ]);
});

test("secrets of the URL are hidden; a connection is told as one", () => {
  const line = told(new Failure("url-not-found"), { method: "GET", url: "/setup?token=abc&x=1" });
  expect([line["method"], line["url"]]).toEqual(["GET", "/setup?token=…&x=…"]);
  const connection = told(toFailure(new Error("x")), { peer: "203.0.113.7", port: 10205 }, "connection");
  expect([connection["msg"], connection["peer"], connection["port"]]).toEqual(["connection failed", "203.0.113.7", 10205]); // prettier-ignore
});

test.each([
  ['port: wanted an integer, got "hidden"; app: wanted text, got 5', 'port: wanted an integer, got "…"; app: wanted text, got 5'],
  ['body: wanted an object, got "a \\" hidden', 'body: wanted an object, got "…"'],
  ['kernel_host: wanted a host, got "hidden…"; port: wanted an integer, got "hidden"', 'kernel_host: wanted a host, got "…"; port: wanted an integer, got "…"'],
  ['kernel_host: wanted a private address, got "8.8.8.8"', 'kernel_host: wanted a private address, got "8.8.8.8"'],
  ['wanted addresses, got "2001:db8::/32"', 'wanted addresses, got "2001:db8::/32"'],
  [`wanted a UUID, got "${"ab12".repeat(8)}"`, 'wanted a UUID, got "…"'],
  ["kernel_host: wanted one, got \"hidden.example\", which is 8.8.8.8", 'kernel_host: wanted one, got "…", which is 8.8.8.8'],
])("what it quotes of the request is for the caller alone: %s", (msg, reason) => {
  const failure = new Failure("invalid-api-params", msg);
  expect([told(failure)["reason"], failure.problem().msg]).toEqual([reason, msg]);
}); // prettier-ignore

const UUID = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
const TOKEN = `eyJhbGciOiJIUzI1NiJ9.${"ab12".repeat(9)}.${"cd34".repeat(8)}`;

test.each([
  ["proxy.example.com:10200", true],
  ["coordinator:10200", true],
  ["app-proxy.svc.cluster.local", true],
  ["backend-ai-appproxy-coordinator:10200", true],
  ["backendai-appproxy_coordinator_1:10200", true],
  ["appproxy-coordinator-headless-service.backend.svc:80", true],
  ["appproxy-coordinator-5d4f8c7b9d-x2k4q.pod.local", true],
  ["proxy.example.com.", true],
  ["hidden", false],
  [TOKEN, false],
  [`${"a1".repeat(16)}.example`, false],
  ["AKIAIOSFODNN7EXAMPLE.x", false],
  ["sk-abcd1234efgh5678ijkl9012.mnop3456qrst7890.uvwx", false],
  [`${UUID}:1`, false],
  [`x.${UUID.toUpperCase()}.example`, false],
])("a Host that is none of ours, which may be missing in a list: %s is told: %p", (host, isTold) => {
  const failure = new Failure("misdirected-request", `Host: wanted a name of this service, got "${host}"`);
  expect(told(failure)["reason"]).toBe(`Host: wanted a name of this service, got "${isTold ? host : "…"}"`);
});

test.each([
  ["PROPFIND", "PROPFIND"],
  ["M-SEARCH", "M-SEARCH"],
  ["hidden", "…"],
  ["H".repeat(21), "…"],
])("the method %s is told as %s", (method, shown) => {
  expect(told(new Failure("method-not-allowed"), { method })["method"]).toBe(shown);
});
