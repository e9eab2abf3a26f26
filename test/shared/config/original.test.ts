/** Files of the original: what its operators write is read as the original reads it, key by key. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { platformRedis } from "../../../coordinator/platform/channel.ts";
import { loadWorkerConfig } from "../../../worker/config.ts";
import { installed } from "../../support/installed.ts";
import { coordinatorConfig, faultyKeys, workerConfig } from "../../support/values.ts";

const coordinatorFile = (name: string) => loadCoordinatorConfig(name, readFileSync(installed(name), "utf8"), {}).values;
const workerFile = (name: string) => loadWorkerConfig(name, readFileSync(installed(name), "utf8"), {}).values;

const at = (host: string, port: number) => ({ host, port });

describe("a file of the original", () => {
  test("of a coordinator", () => {
    const { redis, proxy_coordinator, secrets, logging, debug } = coordinatorFile("coordinator.toml");
    expect(redis).toMatchObject({ addr: at("redis-1.ai.example.com", 6379), sentinel: null, password: "wY3nKd8sQp5uHb6f" }); // prettier-ignore
    expect(proxy_coordinator).toMatchObject({
      bind_addr: at("0.0.0.0", 10200),
      advertised_addr: at("appproxy.ai.example.com", 10200),
      tls_listen: false,
      tls_cert: "/etc/backend.ai/tls/appproxy.crt",
      tls_privkey: "/etc/backend.ai/tls/appproxy.key",
      tls_advertised: false,
      allow_unauthorized_configure_request: true,
      worker_heartbeat_timeout: 30,
      unused_circuit_collection_timeout: 3600,
      metric_access_allowed_hosts: ["127.0.0.1/32"],
    });
    expect(secrets).toEqual({
      api_secret: "8sNf2KxQe7TgVw0rYpLc5HjZb3MdAu9i", previous_api_secrets: [],
      jwt_secret: "tR6yBq1WoEz4XkPn8GvJs0CfDm7HaUl2", previous_jwt_secrets: [],
      worker_secret: "", previous_worker_secrets: [],
    }); // prettier-ignore
    expect([logging.level, debug.enabled]).toEqual(["info", false]);
  });

  test("of a coordinator with Sentinel as text, and with a scheme in its advertised host", () => {
    const { redis, proxy_coordinator } = coordinatorFile("coordinator-sentinel.toml");
    expect(redis).toMatchObject({
      sentinel: [1, 2, 3].map((node) => at(`redis-${node}.ai.example.com`, 26379)),
      service_name: "mymaster",
      password: "eG5tXa9vCk2zRw7N",
    });
    expect(proxy_coordinator).toMatchObject({
      bind_addr: at("0.0.0.0", 10200),
      advertised_addr: at("appproxy.ai.example.com", 443),
      tls_advertised: true,
      worker_heartbeat_timeout: 60,
      unused_circuit_collection_timeout: 7200,
      metric_access_allowed_hosts: ["10.30.0.0/16"],
    });
  });

  test("of a coordinator whose platform has another Redis, in hyphens and with Sentinel as text", () => {
    const own = `[redis]\naddr = "own.example:6379"\npassword = "eG5tXa9vCk2zRw7N"`;
    const read = (core: string) => platformRedis(coordinatorConfig(`${own}\n${core}`).values);
    expect(read("")).toMatchObject({ addr: at("own.example", 6379), sentinel: null, password: "eG5tXa9vCk2zRw7N" });
    expect(read('[core_redis]\naddr = { host = "core.example", port = 6380 }')).toEqual({
      addr: at("core.example", 6380), sentinel: null, service_name: "mymaster", section: "core_redis",
      username: "", password: "", sentinel_username: "", sentinel_password: "",
      tls: false, use_tls: false, tls_ca: null, tls_server_name: null, tls_cert: null, tls_privkey: null, tls_skip_verify: false,
    }); // prettier-ignore
    expect(read('[core-redis]\nsentinel = "s1:26379,s2:26379"\nservice-name = "core"\npassword = "p"')).toMatchObject({
      sentinel: [at("s1", 26379), at("s2", 26379)],
      service_name: "core",
      password: "p",
    });
  });

  test("of a worker in port mode", () => {
    const { proxy_worker, permit_hash } = workerFile("worker-http.toml");
    expect(proxy_worker).toMatchObject({
      coordinator_endpoint: "http://appproxy.ai.example.com:10200",
      authority: "worker-1",
      frontend_mode: "port",
      protocol: "http",
      accepted_traffics: ["inference", "interactive"],
      api_bind_addr: at("0.0.0.0", 10201),
      api_advertised_addr: at("apps.ai.example.com", 10201),
      heartbeat_period: 10,
      filtered_apps_only: false,
      app_filters: [],
      trusted_proxies: ["10.30.0.0/16", "192.0.2.7"],
      port_proxy: {
        bind_host: "0.0.0.0",
        advertised_host: "apps.ai.example.com",
        bind_port_range: [10205, 10300],
        advertised_port_range: [20205, 20300],
      },
    });
    expect(permit_hash).toMatchObject({ secret: "M9hZpT3cVdW5nRxK0yQs7LbGf2JuEa6o", digest_mod: "sha256" });
  });

  test("of a worker for TCP, in kebab-case", () => {
    const { redis, proxy_worker } = workerFile("worker-tcp.toml");
    expect(redis.addr).toEqual(at("redis-1.ai.example.com", 6379));
    expect(proxy_worker).toMatchObject({
      authority: "worker-tcp",
      protocol: "tcp",
      accepted_traffics: ["interactive"],
      heartbeat_period: 5,
      api_bind_addr: at("0.0.0.0", 10202),
      api_advertised_addr: at("apps.ai.example.com", 10202),
      port_proxy: { bind_host: "0.0.0.0", advertised_host: null, bind_port_range: [10501, 10600] },
    });
  });

  test("of a worker with a wildcard domain, whose one section is in kebab-case", () => {
    const { proxy_worker, logging } = workerFile("worker-wildcard.toml");
    expect(proxy_worker).toMatchObject({
      authority: "worker-wildcard",
      frontend_mode: "wildcard",
      tls_listen: false,
      tls_advertised: true,
      filtered_apps_only: true,
      app_filters: [
        { key: "session.user_uuid", value: "7c1d9a52-3f60-4b8e-9d24-5e0a6f813b97" },
        { key: "session.access_key", value: "AKIAWILDCARDEXAMPLE1" },
      ],
      wildcard_domain: { domain: ".apps.ai.example.com", bind_addr: at("0.0.0.0", 10250), advertised_port: 443 },
    });
    expect(logging.level).toBe("warning");
  });

  test("of a worker with Sentinel as a list of tables", () => {
    expect(workerFile("worker-sentinel.toml").redis).toMatchObject({
      sentinel: [1, 2, 3].map((node) => at(`redis-${node}.ai.example.com`, 26379)),
      service_name: "mymaster",
    });
  });
});

describe("as in the original,", () => {
  test.each(["sentinel = []", 'sentinel = ""'])("%s is no Sentinel", (line) => {
    expect(coordinatorConfig(`[redis]\naddr = "a:1"\n${line}`).values.redis).toMatchObject({ addr: at("a", 1), sentinel: null }); // prettier-ignore
  });

  test.each([
    'addr = { host = "h", port = "6379" }',
    'sentinel = [{ host = "h", port = "26379" }, { host = "h", port = 26380 }]',
  ])("a port may stand in quotes: %s", (line) => {
    expect(coordinatorConfig(`[redis]\n${line}`).ignored).toEqual([]);
  });

  test.each(['""', '" "', '"x"', '"1.5"', '"-1"'])("but a port is not %s", (port) => {
    expect(faultyKeys(() => coordinatorConfig(`[redis]\naddr = { host = "h", port = ${port} }`))).toEqual(["redis.addr"]); // prettier-ignore
  });

  test("a port range may stand in quotes", () => {
    const { values } = workerConfig('[proxy_worker.port_proxy]\nbind_port_range = ["100", "200"]');
    expect(values.proxy_worker.port_proxy.bind_port_range).toEqual([100, 200]);
  });

  test("an empty advertised host is none", () => {
    const { values } = workerConfig('[proxy_worker.port_proxy]\nbind_host = "10.0.0.1"\nadvertised_host = ""');
    expect(values.proxy_worker.port_proxy.advertised_host).toBeNull();
  });

  test("a level of NOTSET keeps nothing back", () => {
    expect(workerConfig('[logging]\nlevel = "NOTSET"').values.logging.level).toBe("trace");
  });

  test("who listens with TLS hands out https, whatever tls_advertised says", () => {
    const tls = 'tls_listen = true\ntls_cert = "c.pem"\ntls_privkey = "k.pem"\ntls_advertised = false';
    expect(workerConfig(`[proxy_worker]\n${tls}`).values.proxy_worker.tls_advertised).toBe(true);
    expect(coordinatorConfig(`[proxy_coordinator]\n${tls}`).values.proxy_coordinator.tls_advertised).toBe(true);
  });

  test.each([
    ["https://apps.example.com", "false", "apps.example.com", true],
    ["HTTP://apps.example.com", "true", "apps.example.com", false],
    ["apps.example.com", "true", "apps.example.com", true],
  ])("the advertised host %s with tls_advertised = %s is %s, https: %p", (host, advertised, plain, secure) => {
    const toml = `[proxy_coordinator]\nadvertised_addr = { host = "${host}", port = 8443 }\ntls_advertised = ${advertised}`;
    expect(coordinatorConfig(toml).values.proxy_coordinator).toMatchObject({ advertised_addr: at(plain, 8443), tls_advertised: secure }); // prettier-ignore
  });
});

describe("a section in two forms", () => {
  test("is one", () => {
    const toml = `
[proxy_worker]
authority = "w"
[proxy_worker.port_proxy]
bind_host = "10.0.0.1"
[proxy-worker]
heartbeat-period = 7
[proxy-worker.port-proxy]
bind-port-range = [1, 2]
[proxy_worker.port-proxy]
advertised_host = "h"`;
    const { values, ignored } = workerConfig(toml);
    expect(values.proxy_worker).toMatchObject({
      authority: "w",
      heartbeat_period: 7,
      port_proxy: { bind_host: "10.0.0.1", bind_port_range: [1, 2], advertised_host: "h" },
    });
    expect(ignored).toEqual([]);
  });
});

test("keys that TOML wants in quotes, and dates, are named as they are written", () => {
  const toml = '[logging.pkg-ns]\n"" = "WARNING"\n"ai.backend" = "INFO"\n[x]\nsince = 2025-01-01';
  expect(workerConfig(toml).ignored).toEqual(['logging.pkg_ns.""', 'logging.pkg_ns."ai.backend"', "x.since"]);
});
