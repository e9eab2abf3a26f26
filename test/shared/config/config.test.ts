/** Reading configuration: forms of values, where they come from, and what is said of a bad one. */
import { describe, expect, test } from "bun:test";
import { hostname } from "node:os";
import { hostPort } from "../../../shared/values.ts";
import { keysOf } from "../../../shared/config/load.ts";
import { COORDINATOR_ENV, coordinatorTable } from "../../../coordinator/config.ts";
import { loadWorkerConfig, WORKER_ENV } from "../../../worker/config.ts";
import { workerTable } from "../../../worker/config/table.ts";
import {
  API_KEY,
  configError,
  coordinatorConfig,
  faultyKeys,
  JWT_KEY,
  PERMIT_KEY,
  workerConfig,
} from "../../support/values.ts";

const GOOD = `[secrets]\napi_secret = "${API_KEY}"\njwt_secret = "${JWT_KEY}"\n[permit_hash]\nsecret = "${PERMIT_KEY}"\n`;

describe("a file", () => {
  test("of secrets alone gives the defaults of the original", () => {
    const { values, ignored } = coordinatorConfig();
    expect(ignored).toEqual([]);
    expect(values.db.type).toBe("sqlite");
    expect(values.proxy_coordinator).toMatchObject({
      bind_addr: { host: "127.0.0.1", port: 10200 },
      worker_heartbeat_timeout: 30,
      unused_circuit_collection_timeout: 3600,
      metric_access_allowed_hosts: ["127.0.0.1/32", "::1/128"],
      allow_unauthorized_configure_request: false,
    });
    expect(workerConfig().values.proxy_worker).toMatchObject({
      heartbeat_period: 10,
      accepted_traffics: ["interactive", "inference"],
    });
    expect(workerConfig().values.permit_hash).toEqual({
      secret: PERMIT_KEY,
      previous_secrets: [],
      digest_mod: "sha256",
    });
  });

  test("that names no authority makes the worker its machine's, and an explicit one stays", () => {
    const authority = (toml: string, env: Record<string, string> = {}) =>
      loadWorkerConfig("w.toml", `${GOOD}${toml}`, env, "machine-7").values.proxy_worker.authority;
    expect(authority("")).toBe("machine-7");
    expect(authority('[proxy_worker]\nauthority = ""')).toBe("machine-7");
    expect(authority('[proxy-worker]\nauthority = "worker-1"')).toBe("worker-1");
    expect(authority("", { APP_PROXY_WORKER__PROXY_WORKER__AUTHORITY: "worker-2" })).toBe("worker-2");
    expect(workerConfig().values.proxy_worker.authority).toBe(hostname());
  });

  test.each([
    ["snake_case", "[proxy_worker]\nheartbeat_period = 7\n[proxy_worker.port_proxy]\nbind_port_range = [1, 2]"],
    ["kebab-case", "[proxy-worker]\nheartbeat-period = 7\n[proxy-worker.port-proxy]\nbind-port-range = [1, 2]"],
    ["both", "[proxy-worker]\nheartbeat_period = 7\n[proxy-worker.port_proxy]\nbind-port-range = [1, 2]"],
  ])("may be written in %s", (_form, toml) => {
    const { values, ignored } = workerConfig(toml);
    expect(values.proxy_worker.heartbeat_period).toBe(7);
    expect(values.proxy_worker.port_proxy.bind_port_range).toEqual([1, 2]);
    expect(ignored).toEqual([]);
  });

  test.each([
    ['"10.0.0.1:80"', { host: "10.0.0.1", port: 80 }],
    ['" redis.example:6379 "', { host: "redis.example", port: 6379 }],
    ['"[2001:db8::1]:80"', { host: "2001:db8::1", port: 80 }],
    ['{ host = "h", port = 80 }', { host: "h", port: 80 }],
    ['{ host = "2001:db8::1", port = 0 }', { host: "2001:db8::1", port: 0 }],
  ])("names an address as %s", (text, address) => {
    expect(coordinatorConfig(`[redis]\naddr = ${text}`)).toMatchObject({
      values: { redis: { addr: address } },
      ignored: [],
    });
  });

  test.each([
    '"h"',
    '":80"',
    '"h:"',
    '"h:65536"',
    '"h:80:90"',
    '"2001:db8::1:80"',
    '"[h:80"',
    "80",
    '{ host = "", port = 1 }',
    '{ host = "h" }',
  ])("does not name an address as %s", (text) => {
    expect(faultyKeys(() => coordinatorConfig(`[redis]\naddr = ${text}`))).toEqual(["redis.addr"]);
  });

  test("that is not TOML is refused without showing a line of it", () => {
    const error = configError(() =>
      loadWorkerConfig("w.toml", `[secrets]\napi_secret = "${API_KEY}\njwt_secret = "${JWT_KEY}"`, {}),
    );
    expect(error.message).toStartWith("w.toml: 1 fault\n  (file): is not TOML: ");
    expect(error.message).not.toContain(API_KEY);
    expect(error.message).not.toContain(JWT_KEY);
  });

  test("of the original is accepted, and what has no meaning here is named", () => {
    const toml = `
[db]
type = "postgresql"
addr = { host = "localhost", port = 8101 }
pool-size = 8
[proxy_coordinator]
event-loop = "uvloop"
aiomonitor-port = 48500
[[otel.exporters]]
endpoint = "x"
[logging]
level = "WARNING"`;
    const { values, ignored } = coordinatorConfig(toml);
    expect(values.logging.level).toBe("warning");
    expect(ignored).toEqual([
      "db.addr.host",
      "db.addr.port",
      "db.pool_size",
      "proxy_coordinator.event_loop",
      "proxy_coordinator.aiomonitor_port",
      "otel.exporters",
    ]);
  });

  test("gives values that nobody can change", () => {
    expect(Object.isFrozen(workerConfig().values.proxy_worker.port_proxy)).toBe(true);
  });
});

const FROM_ENV: [string, string, unknown][] = [
  ["PROXY_WORKER__AUTHORITY", 'w 1, "x"', 'w 1, "x"'],
  ["SECRETS__API_SECRET", "another-api-key-0123456789", "another-api-key-0123456789"],
  ["PROXY_WORKER__FRONTEND_MODE", " Port ", "port"],
  ["PROXY_WORKER__FILTERED_APPS_ONLY", "Yes", true],
  ["PROXY_WORKER__TLS_ADVERTISED", "0", false],
  ["PROXY_WORKER__HEARTBEAT_PERIOD", "2.5", 2.5],
  ["PROXY_WORKER__API_BIND_ADDR", "[::1]:1", { host: "::1", port: 1 }],
  ["PROXY_WORKER__API_ADVERTISED_ADDR", "h:2", { host: "h", port: 2 }],
  [
    "REDIS__SENTINEL",
    "a:1, [::2]:2",
    [
      { host: "a", port: 1 },
      { host: "::2", port: 2 },
    ],
  ],
  ["PROXY_WORKER__TRUSTED_PROXIES", "10.0.0.0/8, ::1", ["10.0.0.0/8", "::1"]],
  ["PERMIT_HASH__PREVIOUS_SECRETS", "old-permit-key-0123456789", ["old-permit-key-0123456789"]],
  ["PROXY_WORKER__ACCEPTED_TRAFFICS", "inference", ["inference"]],
  ["PROXY_WORKER__PORT_PROXY__BIND_PORT_RANGE", "100-200", [100, 200]],
  ["PROXY_WORKER__APP_FILTERS", '[{"key":"session.id","value":"x"}]', [{ key: "session.id", value: "x" }]],
  ["PROXY_WORKER__WILDCARD_DOMAIN__ADVERTISED_PORT", "443", 443],
  ["PROXY_WORKER__WILDCARD_DOMAIN__DOMAIN", ".apps.example", ".apps.example"],
];

describe("an environment variable", () => {
  test.each(FROM_ENV)("%s = %p is read", (name, text, expected) => {
    expect(workerConfig("", { [`APP_PROXY_WORKER__${name}`]: text }).values).toHaveProperty(
      name.toLowerCase().split("__"),
      expected,
    );
  });

  test("wins over the file", () => {
    const env = { APP_PROXY_COORDINATOR__REDIS__ADDR: "b:2" };
    expect(coordinatorConfig('[redis]\naddr = "a:1"', env).values.redis.addr).toEqual({ host: "b", port: 2 });
  });

  test.each([
    ["FILTERED_APPS_ONLY", "maybe", "true or false"],
    ["HEARTBEAT_PERIOD", "", "a number of seconds from 0.05 to 600"],
    ["HEARTBEAT_PERIOD", "601", "a number of seconds from 0.05 to 600"],
    ["FRONTEND_MODE", "both", "one of port, wildcard"],
    ["API_ADVERTISED_ADDR", "h", '"host:port" or { host, port }'],
    ["TRUSTED_PROXIES", "10.0.0.0/40", "addresses or CIDR ranges, such as 10.0.0.0/8"],
    ["ACCEPTED_TRAFFICS", "batch", "a list of interactive, inference"],
    ["ACCEPTED_TRAFFICS", "", "a list of interactive, inference"],
    ["PORT_PROXY__BIND_PORT_RANGE", "200-100", "[first, last] ports from 1 to 65535"],
    ["PORT_PROXY__BIND_PORT_RANGE", "1-", "[first, last] ports from 1 to 65535"],
    ["APP_FILTERS", "session.id=x", "a list of { key, value }"],
    ["APP_FILTERS", '[{"key":"session.id"}]', "a list of { key, value }"],
    ["WILDCARD_DOMAIN__ADVERTISED_PORT", "0", "a port from 1 to 65535"],
  ])("%s = %p is reported by its name with what was wanted", (name, text, wanted) => {
    const env = `APP_PROXY_WORKER__PROXY_WORKER__${name}`;
    expect(configError(() => workerConfig("", { [env]: text })).faults).toEqual([
      {
        key: `proxy_worker.${name.toLowerCase().replace("__", ".")}`,
        message: `${JSON.stringify(text)} (from ${env}) was given; wanted ${wanted}`,
      },
    ]);
  });

  test("exists for every key, each with its own name", () => {
    for (const [table, prefix] of [
      [workerTable, WORKER_ENV],
      [coordinatorTable, COORDINATOR_ENV],
    ] as const) {
      const names = keysOf(table, prefix).map(({ key, env }) => [
        env,
        `${prefix}__${key.toUpperCase().replaceAll(".", "__")}`,
      ]);
      expect(names.map(([env]) => env)).toEqual(names.map(([, expected]) => expected));
      expect(new Set(names.map(([env]) => env)).size).toBe(names.length);
    }
  });
});

test.each([
  [{ host: "10.0.0.1", port: 80 }, "10.0.0.1:80"],
  [{ host: "::1", port: 80 }, "[::1]:80"],
])("address %p is written %s", (address, text) => {
  expect(hostPort(address)).toBe(text);
});
