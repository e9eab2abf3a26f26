/** Reading configuration: forms of values, where they come from, what is reported, and what stops the start. */
import { describe, expect, test } from "bun:test";
import { addressMatcher } from "../../shared/addresses.ts";
import { secretFaults } from "../../shared/config/common.ts";
import { hostPort } from "../../shared/config/fields.ts";
import { ConfigError, keysOf, type Fault } from "../../shared/config/load.ts";
import { COORDINATOR_ENV, coordinatorTable, loadCoordinatorConfig } from "../../coordinator/config.ts";
import { loadWorkerConfig, WORKER_ENV, workerTable } from "../../worker/config.ts";

const API = "an-api-key-0123456789-a";
const JWT = "a-jwt-key-0123456789-b";
const PERMIT = "a-permit-key-0123456789-c";
const SECRETS = `[secrets]\napi_secret = "${API}"\njwt_secret = "${JWT}"\n`;
const WORKER_SECRETS = `${SECRETS}[permit_hash]\nsecret = "${PERMIT}"\n`;

type Env = Record<string, string>;
const coordinator = (toml = "", env: Env = {}) => loadCoordinatorConfig("c.toml", `${SECRETS}${toml}`, env);
const worker = (toml = "", env: Env = {}) => loadWorkerConfig("w.toml", `${WORKER_SECRETS}${toml}`, env);

function configError(load: () => unknown): ConfigError {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("the configuration was accepted");
}
const faults = (load: () => unknown): Fault[] => configError(load).faults;
const keys = (load: () => unknown): string[] => faults(load).map(({ key }) => key);

describe("a file", () => {
  test("of secrets alone gives the defaults of the original", () => {
    const { values, ignored } = coordinator();
    expect(ignored).toEqual([]);
    expect(values.db.type).toBe("sqlite");
    expect(values.proxy_coordinator).toMatchObject({
      bind_addr: { host: "127.0.0.1", port: 10200 },
      worker_heartbeat_timeout: 30,
      unused_circuit_collection_timeout: 3600,
      metric_access_allowed_hosts: ["127.0.0.1/32"],
      allow_unauthorized_configure_request: false,
    });
    expect(worker().values.proxy_worker).toMatchObject({ heartbeat_period: 10, accepted_traffics: ["interactive", "inference"] });
    expect(worker().values.permit_hash).toEqual({ secret: PERMIT, previous_secrets: [], digest_mod: "sha256" });
  });

  test.each([
    ["snake_case", "[proxy_worker]\nheartbeat_period = 7\n[proxy_worker.port_proxy]\nbind_port_range = [1, 2]"],
    ["kebab-case", "[proxy-worker]\nheartbeat-period = 7\n[proxy-worker.port-proxy]\nbind-port-range = [1, 2]"],
    ["both", "[proxy-worker]\nheartbeat_period = 7\n[proxy-worker.port_proxy]\nbind-port-range = [1, 2]"],
  ])("may be written in %s", (_form, toml) => {
    const { values, ignored } = worker(toml);
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
    expect(coordinator(`[redis]\naddr = ${text}`)).toMatchObject({ values: { redis: { addr: address } }, ignored: [] });
  });

  test.each(['"h"', '":80"', '"h:"', '"h:65536"', '"h:80:90"', '"2001:db8::1:80"', '"[h:80"', "80", '{ host = "", port = 1 }', '{ host = "h" }'])(
    "does not name an address as %s",
    (text) => {
      expect(keys(() => coordinator(`[redis]\naddr = ${text}`))).toEqual(["redis.addr"]);
    },
  );

  test("that is not TOML is refused without showing a line of it", () => {
    const error = configError(() => loadWorkerConfig("w.toml", `[secrets]\napi_secret = "${API}\njwt_secret = "${JWT}"`, {}));
    expect(error.message).toStartWith("w.toml: 1 fault\n  (file): is not TOML: ");
    expect(error.message).not.toContain(API);
    expect(error.message).not.toContain(JWT);
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
    const { values, ignored } = coordinator(toml);
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
    expect(Object.isFrozen(worker().values.proxy_worker.port_proxy)).toBe(true);
  });
});

const FROM_ENV: [string, string, unknown][] = [
  ["PROXY_WORKER__AUTHORITY", "w 1, \"x\"", "w 1, \"x\""],
  ["SECRETS__API_SECRET", "another-api-key-0123456789", "another-api-key-0123456789"],
  ["PROXY_WORKER__FRONTEND_MODE", " Port ", "port"],
  ["PROXY_WORKER__FILTERED_APPS_ONLY", "Yes", true],
  ["PROXY_WORKER__TLS_ADVERTISED", "0", false],
  ["PROXY_WORKER__HEARTBEAT_PERIOD", "2.5", 2.5],
  ["PROXY_WORKER__API_BIND_ADDR", "[::1]:1", { host: "::1", port: 1 }],
  ["PROXY_WORKER__API_ADVERTISED_ADDR", "h:2", { host: "h", port: 2 }],
  ["REDIS__SENTINEL", "a:1, [::2]:2", [{ host: "a", port: 1 }, { host: "::2", port: 2 }]],
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
    expect(worker("", { [`APP_PROXY_WORKER__${name}`]: text }).values).toHaveProperty(name.toLowerCase().split("__"), expected);
  });

  test("wins over the file", () => {
    const env = { APP_PROXY_COORDINATOR__REDIS__ADDR: "b:2" };
    expect(coordinator('[redis]\naddr = "a:1"', env).values.redis.addr).toEqual({ host: "b", port: 2 });
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
    expect(faults(() => worker("", { [env]: text }))).toEqual([
      {
        key: `proxy_worker.${name.toLowerCase().replace("__", ".")}`,
        message: `${JSON.stringify(text)} (from ${env}) was given; wanted ${wanted}`,
      },
    ]);
  });

  test("exists for every key, each with its own name", () => {
    for (const [table, prefix] of [[workerTable, WORKER_ENV], [coordinatorTable, COORDINATOR_ENV]] as const) {
      const names = keysOf(table, prefix).map(({ key, env }) => [env, `${prefix}__${key.toUpperCase().replaceAll(".", "__")}`]);
      expect(names.map(([env]) => env)).toEqual(names.map(([, expected]) => expected));
      expect(new Set(names.map(([env]) => env)).size).toBe(names.length);
    }
  });
});

describe("faults", () => {
  test("are reported all together, each with key, value and what was wanted", () => {
    const toml = '[redis]\naddr = "nowhere"\n[proxy_worker]\nfrontend_mode = "both"\ntls_listen = 1\n[logging]\nlevel = "loud"';
    const error = configError(() => worker(toml));
    expect(error.faults).toEqual([
      { key: "redis.addr", message: '"nowhere" was given; wanted "host:port" or { host, port }' },
      { key: "proxy_worker.frontend_mode", message: '"both" was given; wanted one of port, wildcard' },
      { key: "proxy_worker.tls_listen", message: "1 was given; wanted true or false" },
      {
        key: "logging.level",
        message: '"loud" was given; wanted one of trace, debug, info, warning, warn, error, critical, fatal',
      },
    ]);
    expect(error.message).toBe(["w.toml: 4 faults", ...error.faults.map((f) => `  ${f.key}: ${f.message}`)].join("\n"));
  });

  test("never show a secret", () => {
    const toml = "[secrets]\napi_secret = 135792468\n[permit_hash]\nprevious_secrets = [135792468]\n[redis]\npassword = 135792468";
    expect(faults(() => loadWorkerConfig("w.toml", toml, {}))).toEqual([
      { key: "redis.password", message: "[secret] was given; wanted text" },
      { key: "secrets.api_secret", message: "[secret] was given; wanted a secret of at least 16 characters" },
      { key: "permit_hash.previous_secrets", message: "[secret] was given; wanted a list of secrets" },
    ]);
  });

  test.each(['["10.0.0.1, 10.0.0.2"]', '["10.0.0.1", ""]'])("a list of ranges that would match nobody is one: %s", (list) => {
    const load = () => worker(`[proxy_worker]\ntrusted_proxies = ${list}`);
    expect(keys(load)).toEqual(["proxy_worker.trusted_proxies"]);
  });

  test("a list of ranges that is accepted can be matched", () => {
    const { values } = worker('[proxy_worker]\ntrusted_proxies = ["10.0.0.1", "::1"]');
    expect(addressMatcher(values.proxy_worker.trusted_proxies)("10.0.0.1")).toBe(true);
  });

  test("TLS without its files is one for each file", () => {
    for (const [section, load] of [["proxy_worker", worker], ["proxy_coordinator", coordinator]] as const) {
      const message = "is missing; wanted a file, because tls_listen is true";
      expect(faults(() => load(`[${section}]\ntls_listen = true`))).toEqual([
        { key: `${section}.tls_cert`, message },
        { key: `${section}.tls_privkey`, message },
      ]);
      expect(keys(() => load(`[${section}]\ntls_listen = true\ntls_cert = "c.pem"`))).toEqual([`${section}.tls_privkey`]);
      expect(load(`[${section}]\ntls_listen = true\ntls_cert = "c.pem"\ntls_privkey = "k.pem"`).ignored).toEqual([]);
    }
  });

  test.each([
    ["another number of advertised ports", "[proxy_worker.port_proxy]\nbind_port_range = [1, 9]\nadvertised_port_range = [1, 8]", ["proxy_worker.port_proxy.advertised_port_range"]],
    ["as many advertised ports elsewhere", "[proxy_worker.port_proxy]\nbind_port_range = [1, 9]\nadvertised_port_range = [101, 109]", []],
    ["a wildcard worker without a domain", '[proxy_worker]\nfrontend_mode = "wildcard"', ["proxy_worker.wildcard_domain.domain"]],
    ["a wildcard worker with a domain", '[proxy_worker]\nfrontend_mode = "wildcard"\n[proxy_worker.wildcard_domain]\ndomain = ".a.b"', []],
    ["a coordinator that is no URL", '[proxy_worker]\ncoordinator_endpoint = "h"', ["proxy_worker.coordinator_endpoint"]],
    ["a coordinator of another scheme", '[proxy_worker]\ncoordinator_endpoint = "ftp://h"', ["proxy_worker.coordinator_endpoint"]],
  ])("%s", (_what, toml, expected) => {
    if (expected.length === 0) expect(worker(toml).ignored).toEqual([]);
    else expect(keys(() => worker(toml))).toEqual(expected);
  });
});

describe("secrets", () => {
  const load = (api: string, jwt: string, permit: string, more = "") => () =>
    loadWorkerConfig("w.toml", `[secrets]\napi_secret = "${api}"\njwt_secret = "${jwt}"\n[permit_hash]\nsecret = "${permit}"\n${more}`, {});

  test.each([
    ["missing ones", load("", "", ""), ["secrets.api_secret", "secrets.jwt_secret", "permit_hash.secret"]],
    ["a short one", load(API, "short", PERMIT), ["secrets.jwt_secret"]],
    ["the samples", load("some_api_secret", "some_jwt_secret_", "some_permit_hash_secret"), ["secrets.api_secret", "secrets.jwt_secret", "permit_hash.secret"]],
    ["equal ones", load(API, API, API), ["secrets.jwt_secret", "permit_hash.secret"]],
  ])("stop the start: %s", (_what, weak, expected) => {
    expect(keys(weak)).toEqual(expected);
  });

  test("stop the coordinator too", () => {
    expect(keys(() => loadCoordinatorConfig("c.toml", "", {}))).toEqual(["secrets.api_secret", "secrets.jwt_secret"]);
  });

  test("that are weak or equal pass with debug.enabled; missing ones never do", () => {
    expect(load("short", "short", "some_permit", "[debug]\nenabled = true")().values.secrets.api_secret).toBe("short");
    expect(keys(load("short", "", "", "[debug]\nenabled = true"))).toEqual(["secrets.jwt_secret", "permit_hash.secret"]);
  });

  test.each(["", "some_permit_hash_secret"])("that are still accepted are judged too: %p", (old) => {
    expect(keys(load(API, JWT, PERMIT, `previous_secrets = ["${old}"]`))).toEqual(["permit_hash.previous_secrets"]);
  });

  test("are described, never shown", () => {
    const wanted = "wanted at least 16 random characters, such as `openssl rand -hex 32` prints";
    expect(secretFaults({ a: "", b: "hunter2", c: "some_api_secret_", d: API, e: API })).toEqual([
      { key: "a", message: `is missing; ${wanted}` },
      { key: "b", message: `has 7 characters; ${wanted}` },
      { key: "c", message: `is a well-known sample value; ${wanted}` },
      { key: "e", message: "is the same as d; wanted a secret of its own" },
    ]);
  });
});

test.each([
  [{ host: "10.0.0.1", port: 80 }, "10.0.0.1:80"],
  [{ host: "::1", port: 80 }, "[::1]:80"],
])("address %p is written %s", (address, text) => {
  expect(hostPort(address)).toBe(text);
});
