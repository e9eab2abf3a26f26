/** What stops a service from starting with a configuration, and how that is told: all at once and without secrets. */
import { describe, expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { secretFaults } from "../../../shared/config/common.ts";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { workerSecret } from "../../../shared/protocol/worker-secret.ts";
import { loadWorkerConfig, processCount, processFaults, workerWarnings } from "../../../worker/config.ts";
import {
  API_KEY,
  configError,
  coordinatorConfig,
  faultyKeys,
  JWT_KEY,
  PERMIT_KEY,
  workerConfig,
} from "../../support/values.ts";

describe("faults", () => {
  test("are reported all together, each with key, value and what was wanted", () => {
    const toml =
      '[redis]\naddr = "nowhere"\n[proxy_worker]\nfrontend_mode = "both"\ntls_listen = 1\n[logging]\nlevel = "loud"';
    const error = configError(() => workerConfig(toml));
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

  test("are told with the keys that nothing reads: what is missing may be misspelt", () => {
    const { message } = configError(() => loadWorkerConfig("w.toml", '[secrets]\napi_secrt = "a-secret-of-32"', {}));
    expect(message).toEndWith("\n  secrets.api_secrt: nothing reads this key");
    expect(message).not.toContain("a-secret-of-32");
  });

  test("never show a secret", () => {
    const toml =
      "[secrets]\napi_secret = 135792468\n[permit_hash]\nprevious_secrets = [135792468]\n[redis]\npassword = 135792468";
    expect(configError(() => loadWorkerConfig("w.toml", toml, {})).faults).toEqual([
      { key: "redis.password", message: "[secret] was given; wanted text" },
      { key: "secrets.api_secret", message: "[secret] was given; wanted a secret of at least 16 characters" },
      { key: "permit_hash.previous_secrets", message: "[secret] was given; wanted a list of at most 8 secrets" },
      expect.objectContaining({ key: "secrets.jwt_secret" }),
      expect.objectContaining({ key: "permit_hash.secret" }),
    ]);
  });

  test.each(["javascript:alert(1)", "https://me:secret@web.example.com", "web.example.com", "ftp://web.example.com"])(
    "an address that may not stand in a page is one: %s",
    (home) => {
      expect(faultyKeys(() => workerConfig(`[proxy_worker]\nhome_url = "${home}"`))).toEqual(["proxy_worker.home_url"]);
      expect(faultyKeys(() => coordinatorConfig(`[proxy_coordinator]\nhome_url = "${home}"`))).toEqual([
        "proxy_coordinator.home_url",
      ]);
    },
  );

  test("a permit for frames of other sites wants TLS, whoever ends it", () => {
    const none = '[permit]\nsame_site = "none"\n';
    expect(configError(() => workerConfig(none)).faults).toEqual([
      {
        key: "permit.same_site",
        message: '"none" was given without TLS; wanted tls_listen or tls_advertised = true with it, or "lax"',
      },
    ]);
    const behind = workerConfig(`${none}[proxy_worker]\ntls_advertised = true`);
    expect([behind.values.permit.same_site, workerConfig("").values.permit.same_site]).toEqual(["none", "lax"]);
  });

  test.each(['["10.0.0.1, 10.0.0.2"]', '["10.0.0.1", ""]'])(
    "a list of ranges that would match nobody is one: %s",
    (list) => {
      const load = () => workerConfig(`[proxy_worker]\ntrusted_proxies = ${list}`);
      expect(faultyKeys(load)).toEqual(["proxy_worker.trusted_proxies"]);
    },
  );

  test("a list of ranges that is accepted can be matched", () => {
    const { values } = workerConfig('[proxy_worker]\ntrusted_proxies = ["10.0.0.1", "::1"]');
    expect(addressMatcher(values.proxy_worker.trusted_proxies)("10.0.0.1")).toBe(true);
  });

  test("PROXY headers want proxies that send them, and an engine that reads them", () => {
    const load = (...lines: string[]) =>
      workerConfig(["[proxy_worker]", "accept_proxy_protocol = true", ...lines].join("\n"));
    const key = "proxy_worker.accept_proxy_protocol";
    const nobody = {
      key,
      message: "true was given without proxy_worker.trusted_proxies; wanted there who sends the PROXY header",
    };
    const unread = (protocol: string) => ({
      key,
      message: `true was given with engine "serve" and protocol "${protocol}"; wanted engine "sockets" or protocol "tcp": Bun's own server can't read the PROXY header`,
    });
    const proxies = 'trusted_proxies = ["10.0.0.1"]';
    expect(configError(() => load()).faults).toEqual([nobody, unread("http")]);
    expect(configError(() => load('engine = "sockets"')).faults).toEqual([nobody]);
    expect(configError(() => load('protocol = "tcp"')).faults).toEqual([nobody]);
    expect(configError(() => load(proxies)).faults).toEqual([unread("http")]);
    for (const how of ['engine = "sockets"', 'protocol = "tcp"'])
      expect(load(proxies, how).values.proxy_worker.accept_proxy_protocol).toBe(true);
    expect(workerConfig("").values.proxy_worker.accept_proxy_protocol).toBe(false);
  });

  test("several processes want a whole number of them, and ports that they can share", () => {
    const load = (...lines: string[]) => workerConfig(["[proxy_worker]", ...lines].join("\n"));
    const key = "proxy_worker.processes";
    for (const [given, shown] of [["0", "0"], ["1.5", "1.5"], ["129", "129"], ['"many"', '"many"'], ["true", "true"]])
      expect(configError(() => load(`processes = ${given}`)).faults).toEqual([{ key, message: `${shown} was given; wanted a whole number from 1 to 128, or "auto"` }]); // prettier-ignore
    for (const [given, read] of [
      ["4", 4],
      ['"4"', 4],
      ['" Auto"', "auto"],
    ])
      expect(load(`processes = ${given}`).values.proxy_worker.processes).toBe(read as never);
    expect(workerConfig("").values.proxy_worker.processes).toBe(1);
    expect([processCount(3), processCount("auto")]).toEqual([3, availableParallelism()]);
    expect(processFaults(load('processes = "auto"').values).length).toBe(availableParallelism() === 1 ? 0 : 1);
    const message = "port 0 was given; wanted a port that several processes can share";
    const anyPorts = ['api_bind_addr = "127.0.0.1:0"', 'frontend_mode = "wildcard"', 'wildcard_domain = { domain = ".a.example", bind_addr = "127.0.0.1:0" }']; // prettier-ignore
    expect(load(...anyPorts).values.proxy_worker.processes).toBe(1);
    expect(configError(() => load("processes = 2", ...anyPorts)).faults).toEqual([
      { key: "proxy_worker.api_bind_addr", message },
      { key: "proxy_worker.wildcard_domain.bind_addr", message },
    ]);
  });

  test("TLS without its files is one for each file", () => {
    for (const [section, load] of [
      ["proxy_worker", workerConfig],
      ["proxy_coordinator", coordinatorConfig],
    ] as const) {
      const message = "is missing; wanted a file, because tls_listen is true";
      expect(configError(() => load(`[${section}]\ntls_listen = true`)).faults).toEqual([
        { key: `${section}.tls_cert`, message },
        { key: `${section}.tls_privkey`, message },
      ]);
      expect(faultyKeys(() => load(`[${section}]\ntls_listen = true\ntls_cert = "c.pem"`))).toEqual([
        `${section}.tls_privkey`,
      ]);
      expect(load(`[${section}]\ntls_listen = true\ntls_cert = "c.pem"\ntls_privkey = "k.pem"`).ignored).toEqual([]);
    }
  });

  test.each([
    [
      "another number of advertised ports",
      "[proxy_worker.port_proxy]\nbind_port_range = [1, 9]\nadvertised_port_range = [1, 8]",
      ["proxy_worker.port_proxy.advertised_port_range"],
    ],
    [
      "as many advertised ports elsewhere",
      "[proxy_worker.port_proxy]\nbind_port_range = [1, 9]\nadvertised_port_range = [101, 109]",
      [],
    ],
    [
      "an IPv6 address for IPv4",
      '[proxy_worker]\napi_advertised_addr_ipv4 = "[::1]:10201"',
      ["proxy_worker.api_advertised_addr_ipv4"],
    ],
    [
      "an IPv4 address for IPv6, and no port",
      '[proxy_worker]\napi_advertised_addr_ipv4 = "10.0.0.1:0"\napi_advertised_addr_ipv6 = "10.0.0.1:10201"',
      ["proxy_worker.api_advertised_addr_ipv4", "proxy_worker.api_advertised_addr_ipv6"],
    ],
    [
      "one place for both families",
      '[proxy_worker]\napi_advertised_addr_ipv4 = "a.b:1"\napi_advertised_addr_ipv6 = "A.b:1"',
      ["proxy_worker.api_advertised_addr_ipv6"],
    ],
    [
      "what no URL can have",
      '[proxy_worker]\napi_advertised_addr_ipv6 = "a b:1"',
      ["proxy_worker.api_advertised_addr_ipv6"],
    ],
    [
      "a place for each family",
      '[proxy_worker]\napi_advertised_addr_ipv4 = "v4.a.b:1"\napi_advertised_addr_ipv6 = "[2001:db8::1]:1"',
      [],
    ],
    [
      "a wildcard worker without a domain",
      '[proxy_worker]\nfrontend_mode = "wildcard"',
      ["proxy_worker.wildcard_domain.domain"],
    ],
    [
      "a wildcard worker with a domain",
      '[proxy_worker]\nfrontend_mode = "wildcard"\n[proxy_worker.wildcard_domain]\ndomain = ".a.b"',
      [],
    ],
    [
      "a coordinator that is no URL",
      '[proxy_worker]\ncoordinator_endpoint = "h"',
      ["proxy_worker.coordinator_endpoint"],
    ],
    [
      "a coordinator of another scheme",
      '[proxy_worker]\ncoordinator_endpoint = "ftp://h"',
      ["proxy_worker.coordinator_endpoint"],
    ],
  ])("%s", (_what, toml, expected) => {
    if (expected.length === 0) expect(workerConfig(toml).ignored).toEqual([]);
    else expect(faultyKeys(() => workerConfig(toml))).toEqual(expected);
  });
});

describe("secrets", () => {
  const load =
    (api: string, jwt: string, permit: string, more = "") =>
    () =>
      loadWorkerConfig(
        "w.toml",
        `[secrets]\napi_secret = "${api}"\njwt_secret = "${jwt}"\n[permit_hash]\nsecret = "${permit}"\n${more}`,
        {},
      );

  test.each([
    ["missing ones", load("", "", ""), ["secrets.api_secret", "secrets.jwt_secret", "permit_hash.secret"]],
    ["a short one", load(API_KEY, "short", PERMIT_KEY), ["secrets.jwt_secret"]],
    [
      "the samples",
      load("some_api_secret", "some_jwt_secret_", "some_permit_hash_secret"),
      ["secrets.api_secret", "secrets.jwt_secret", "permit_hash.secret"],
    ],
    ["equal ones", load(API_KEY, API_KEY, API_KEY), ["secrets.jwt_secret", "permit_hash.secret"]],
  ])("stop the start: %s", (_what, weak, expected) => {
    expect(faultyKeys(weak)).toEqual(expected);
  });

  test("stop the coordinator too", () => {
    expect(faultyKeys(() => loadCoordinatorConfig("c.toml", "", {}))).toEqual([
      "secrets.api_secret",
      "secrets.jwt_secret",
    ]);
  });

  test("that are weak or equal pass with debug.enabled; missing ones never do", () => {
    expect(load("short", "short", "some_permit", "[debug]\nenabled = true")().values.secrets.api_secret).toBe("short");
    expect(faultyKeys(load("short", "", "", "[debug]\nenabled = true"))).toEqual([
      "secrets.jwt_secret",
      "permit_hash.secret",
    ]);
  });

  test.each(["", "some_permit_hash_secret"])("that are still accepted are judged too: %p", (old) => {
    expect(faultyKeys(load(API_KEY, JWT_KEY, PERMIT_KEY, `previous_secrets = ["${old}"]`))).toEqual([
      "permit_hash.previous_secrets",
    ]);
  });

  test("are described, never shown", () => {
    const wanted = "wanted at least 16 random characters, such as `bun run keys` prints";
    expect(secretFaults({ a: "", b: "hunter2", c: "some_api_secret_", d: API_KEY, e: API_KEY })).toEqual([
      { key: "a", message: `is missing; ${wanted}` },
      { key: "b", message: `is only 7 long; ${wanted}` },
      { key: "c", message: `is a well-known sample value; ${wanted}` },
      { key: "e", message: "is the same as d; wanted a secret of its own" },
    ]);
  });

  const OLD = "an-old-secret-0123456789-d";
  const toml = (secrets: string) => `[secrets]\n${secrets}\n`;
  const given = `api_secret = "${API_KEY}"\njwt_secret = "${JWT_KEY}"`;
  const coordinator = (more: string) => () => loadCoordinatorConfig("c.toml", toml(`${given}\n${more}`), {});
  const worker = (secrets: string) => () =>
    loadWorkerConfig("w.toml", `${toml(secrets)}[permit_hash]\nsecret = "${PERMIT_KEY}"\n[proxy_worker]\nauthority = "w-1"`, {}); // prettier-ignore

  test.each(["api", "jwt", "worker"])("before the present ones are judged too: previous_%s_secrets", (kind) => {
    const key = `previous_${kind}_secrets`;
    for (const weak of ["short", "some_api_secret_", "", PERMIT_KEY.slice(0, 15)])
      expect(faultyKeys(coordinator(`${key} = ["${OLD}", "${weak}"]`))).toEqual([`secrets.${key}`]);
    // Who has one of them could do what the other one is for.
    const [own, other] = kind === "api" ? [API_KEY, JWT_KEY] : [JWT_KEY, API_KEY];
    expect(configError(coordinator(`${key} = ["${other}"]`)).faults).toEqual([
      { key: `secrets.${key}`, message: `is the same as secrets.${kind === "api" ? "jwt" : "api"}_secret; wanted a secret of its own` },
    ]); // prettier-ignore
    // That the present one is still among them does no harm.
    if (kind !== "worker") expect(coordinator(`${key} = ["${own}", "${OLD}"]`)().ignored).toEqual([]);
    const nine = JSON.stringify(Array.from({ length: 9 }, (_, at) => `${OLD}${at}`));
    expect(configError(coordinator(`${key} = ${nine}`)).faults).toEqual([
      { key: `secrets.${key}`, message: "[secret] was given; wanted a list of at most 8 secrets" },
    ]);
    expect(coordinator(`${key} = ["${OLD}"]`)().ignored).toEqual([]);
  });

  test("of two uses that were the same before are told", () => {
    const both = `previous_api_secrets = ["${OLD}"]\nprevious_jwt_secrets = ["${OLD}"]`;
    expect(configError(coordinator(both)).faults).toEqual([
      { key: "secrets.previous_jwt_secrets", message: "is the same as secrets.previous_api_secrets; wanted a secret of its own" },
    ]); // prettier-ignore
  });

  test("of a worker's own kind stand in the place of the api_secret", () => {
    const own = workerSecret(OLD, "w-1");
    const jwt = `jwt_secret = "${JWT_KEY}"`;
    expect(worker(`${jwt}\nworker_secret = "${own}"`)().values.secrets).toMatchObject({
      api_secret: "",
      worker_secret: own,
    });
    expect(faultyKeys(worker(jwt))).toEqual(["secrets.api_secret"]);
    expect(workerWarnings(worker(`${jwt}\nworker_secret = "${own}"`)().values)).toEqual([]);
    expect(workerWarnings(worker(`${given}\nworker_secret = "${own}"`)().values)).toEqual([
      "secrets.api_secret: the worker has a worker_secret too; without the api_secret it could not act as the Manager",
    ]);
    expect(worker(`${given}\nworker_secret = "${own}"\nprevious_worker_secrets = ["${own}"]`)().ignored).toEqual([]);
    expect(faultyKeys(worker(`${jwt}\napi_secret = "short"\nworker_secret = "${own}"`))).toEqual([
      "secrets.api_secret",
    ]);
  });

  test("of another worker, or of none, are told of with what makes the right one", () => {
    const jwt = `jwt_secret = "${JWT_KEY}"`;
    const wanted = "wanted what `bun run keys --worker w-1` prints";
    const [others, text] = [workerSecret(OLD, "w-2"), "any-text-0123456789"];
    expect(configError(worker(`${jwt}\nworker_secret = "${others}"`)).faults).toEqual([
      { key: "secrets.worker_secret", message: `is that of the worker "w-2"; ${wanted}` },
    ]);
    expect(configError(worker(`${jwt}\nworker_secret = "${text}"`)).faults).toEqual([
      { key: "secrets.worker_secret", message: `is no worker's own secret; ${wanted}` },
    ]);
    const before = configError(worker(`${given}\nprevious_worker_secrets = ["${others}"]`)).faults;
    expect(before).toEqual([
      { key: "secrets.previous_worker_secrets", message: `is that of the worker "w-2"; ${wanted}` },
    ]);
  });

  test("that a worker has are no root of all workers'", () => {
    const message = `is the own secret of the worker "w-1"; wanted the one that workers' secrets are made of`;
    const own = workerSecret(OLD, "w-1");
    expect(configError(coordinator(`worker_secret = "${own}"`)).faults).toEqual([
      { key: "secrets.worker_secret", message },
    ]);
    expect(configError(coordinator(`previous_worker_secrets = ["${own}"]`)).faults).toEqual([
      { key: "secrets.previous_worker_secrets", message },
    ]);
    expect(faultyKeys(coordinator(`worker_secret = "${API_KEY}"`))).toEqual(["secrets.worker_secret"]);
  });
});
