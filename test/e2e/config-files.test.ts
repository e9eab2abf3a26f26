/**
 * The files of an installation of the original (test/fixtures/config) run unchanged: they are accepted as they stand, and
 * a coordinator and three kinds of workers started from them open apps. What has no meaning here is named, once.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import { COORDINATOR_ENV, coordinatorTable } from "../../coordinator/config.ts";
import { isRecord } from "../../shared/values.ts";
import { keysOf } from "../../shared/config/load.ts";
import { WORKER_ENV } from "../../worker/config.ts";
import { workerTable } from "../../worker/config/table.ts";
import { startApp, type App } from "../support/app.ts";
import {
  installed,
  startInstalledCoordinator,
  startInstalledWorker,
  written,
  type InstalledCoordinator,
  type InstalledWorker,
} from "../support/installed.ts";
import { rawRequest } from "../support/raw.ts";
import { startRedis } from "../support/redis.ts";
import { ROOT } from "../support/spawned.ts";

const FILES = readdirSync(join(ROOT, "test/fixtures/config")).filter((name) => name.endsWith(".toml"));

const serviceOf = (name: string) => (name.startsWith("coordinator") ? "coordinator" : "worker");

/** Every key of a file as it is told, in snake_case; lists count as one. */
function keysIn(value: Record<string, unknown>, path: string[] = []): string[] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const name = key.replaceAll("-", "_");
    const here = [...path, /^\w+$/.test(name) ? name : `"${name}"`];
    return isRecord(inner) ? keysIn(inner, here) : [here.join(".")];
  });
}

/** The keys of a file that no key of ours reads: neither itself nor, as of `bind_addr.host`, what it is a part of. */
function meaningless(name: string): string[] {
  const table =
    serviceOf(name) === "coordinator" ? keysOf(coordinatorTable, COORDINATOR_ENV) : keysOf(workerTable, WORKER_ENV);
  const read = table.map(({ key }) => key);
  const keys = keysIn(parse(readFileSync(installed(name), "utf8")));
  return keys.filter((key) => !read.some((one) => key === one || key.startsWith(`${one}.`)));
}

/** What is said where a file asks for telemetry, which there is none of. */
function telemetry(name: string): string[] {
  const { otel } = parse(readFileSync(installed(name), "utf8"));
  const isWanted = isRecord(otel) && otel["enabled"] === true;
  return isWanted
    ? ["  otel.enabled: true was given, but this version exports no telemetry; /metrics has figures"]
    : [];
}

describe("--check", () => {
  test.each(FILES)("accepts %s as it stands, and names what has no meaning here once each", (name) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(
      [process.execPath, join(ROOT, serviceOf(name), "main.ts"), "--config", installed(name), "--check"],
      { cwd: tmpdir(), stdout: "pipe", stderr: "pipe", timeout: 60_000 },
    );
    const [verdict, ...named] = stdout.toString().trimEnd().split("\n");
    expect([exitCode, stderr.toString(), verdict]).toEqual([0, "", `${installed(name)}: the configuration is valid`]);
    expect(named.toSorted()).toEqual(
      [...meaningless(name).map((key) => `  ${key}: nothing reads this key`), ...telemetry(name)].toSorted(),
    );
    // A section that falls out of the table as a whole would be neither read nor missed.
    expect(meaningless(name)).toContain(`proxy_${serviceOf(name)}.event_loop`);
    expect(meaningless(name).filter((key) => /\.(bind_|advertised_|tls_|authority|coordinator_endpoint)/.test(key))).toEqual([]); // prettier-ignore
  });
});

describe("an installation", () => {
  const stack = new AsyncDisposableStack();
  let app: App;
  let coordinator: InstalledCoordinator;
  const workers = {} as Record<"http" | "tcp" | "wildcard", InstalledWorker>;

  beforeAll(async () => {
    const directory = mkdtempSync(join(tmpdir(), "app-proxy-installed-"));
    stack.defer(() => rmSync(directory, { recursive: true, force: true }));
    app = startApp();
    stack.defer(() => app.stop());
    const redis = await startRedis();
    stack.defer(() => redis.stop());
    const address = { "redis.addr": `127.0.0.1:${redis.port}` };
    coordinator = await startInstalledCoordinator("coordinator.toml", directory, address);
    stack.defer(async () => void (await coordinator.service.stop("SIGKILL")));
    for (const kind of ["http", "tcp", "wildcard"] as const) {
      const worker = await startInstalledWorker(`worker-${kind}.toml`, coordinator, address);
      stack.defer(async () => void (await worker.service.stop("SIGKILL")));
      workers[kind] = worker;
    }
  }, 120_000);

  afterAll(() => stack.disposeAsync(), 60_000);

  test("has all its workers", async () => {
    const { body } = await coordinator.manager.api("GET", "/api/worker");
    const told = (body["workers"] as Record<string, unknown>[]).map(({ authority, status, protocol, frontend_mode }) => ({ authority, status, protocol, frontend_mode })); // prettier-ignore
    expect(told.toSorted((a, b) => String(a.authority).localeCompare(String(b.authority)))).toEqual([
      { authority: "worker-1", status: "ALIVE", protocol: "http", frontend_mode: "port" },
      { authority: "worker-tcp", status: "ALIVE", protocol: "tcp", frontend_mode: "port" },
      { authority: "worker-wildcard", status: "ALIVE", protocol: "http", frontend_mode: "wildcard" },
    ]);
  });

  test("names what has no meaning here in one line of the log, and no secret", () => {
    const services = {
      "coordinator.toml": coordinator,
      "worker-http.toml": workers.http,
      "worker-tcp.toml": workers.tcp,
    };
    for (const [name, { service }] of Object.entries(services)) {
      const lines = service.lines.filter((line) => "ignored_keys" in line);
      expect(lines).toEqual([expect.objectContaining({ msg: "configuration read", level: "info", ignored_keys: meaningless(name) })]); // prettier-ignore
    }
    // Its file lets nothing below a warning into the log.
    expect(workers.wildcard.service.lines.filter(({ level }) => level === "info" || level === "debug")).toEqual([]);
    const log = JSON.stringify([coordinator, ...Object.values(workers)].flatMap(({ service }) => service.lines));
    for (const key of [
      "secrets.api_secret",
      "secrets.jwt_secret",
      "permit_hash.secret",
      "db.password",
      "redis.password",
    ])
      expect(log).not.toContain(String(written("coordinator.toml", key)));
  });

  test("opens an app on a port", async () => {
    const { origin, cookie } = await coordinator.manager.enter({ kernel_port: app.port });
    expect((await fetch(origin)).status).toBe(401);
    expect(await (await fetch(`${origin}/x?y`, { headers: { cookie } })).json()).toMatchObject({ path: "/x?y" });
  });

  test("opens an app over TCP", async () => {
    const { token, sessionId } = await coordinator.manager.conf({ kernel_port: app.port });
    const opened = await coordinator.manager.auth(token, sessionId, { app: "sshd", protocol: "tcp" });
    expect([opened.status, opened.body]).toEqual([200, expect.objectContaining({ reuse: false })]);
    const { redirectURI } = (await (await fetch(String(opened.body["redirect_url"]))).json()) as {
      redirectURI: string;
    };
    const gateway = new URL(new URL(redirectURI).searchParams.get("gateway") ?? "");
    expect([gateway.protocol, gateway.hostname]).toEqual(["tcp:", "127.0.0.1"]);
    const answer = await rawRequest(Number(gateway.port), "GET /raw HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(answer).toContain('"path":"/raw"');
  });

  test("opens an app under the wildcard domain, behind a load balancer that ends TLS", async () => {
    const { apiPort, wildcardPort } = workers.wildcard;
    const user_uuid = String(
      (written("worker-wildcard.toml", "proxy_worker.app_filters") as { value: string }[])[0]?.value,
    );
    const { token, sessionId } = await coordinator.manager.conf({ kernel_port: app.port, user_uuid });
    const opened = await coordinator.manager.auth(token, sessionId);
    expect([opened.status, opened.body]).toEqual([200, expect.objectContaining({ reuse: false })]);
    const setup = new URL(String(opened.body["redirect_url"]));
    expect(setup.origin).toBe(`https://127.0.0.1:${apiPort}`);
    const entry = new URL(location(await fetch(`http://127.0.0.1:${apiPort}${setup.pathname}${setup.search}`, { redirect: "manual" }))); // prettier-ignore
    // Its port is the load balancer's, 443.
    expect(entry.origin).toMatch(/^https:\/\/[a-z0-9-]+\.apps\.ai\.example\.com$/);
    const ask = (path: string, headers: Record<string, string> = {}) =>
      fetch(`http://127.0.0.1:${wildcardPort}${path}`, {
        redirect: "manual",
        headers: { host: entry.host, ...headers },
      });
    const entered = await ask(entry.pathname + entry.search);
    const cookie = entered.headers.getSetCookie().map((line) => line.split(";", 1)[0]).join("; "); // prettier-ignore
    expect([entered.status, cookie]).toEqual([303, expect.stringMatching(/^__Host-appproxy_permit_/)]);
    expect((await ask("/")).status).toBe(401);
    expect(await (await ask("/lab", { cookie })).json()).toMatchObject({ path: "/lab" });
  });
});

function location(answer: Response): string {
  return answer.headers.get("location") ?? `no location, but ${answer.status}`;
}
