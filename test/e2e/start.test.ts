/** Starting the services as an operator does: --check, faults of the configuration, what cannot be had; and the small installation in one process. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startApp } from "../support/app.ts";
import { Manager } from "../support/manager.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { ROOT, spawnService } from "../support/spawned.ts";
import { coordinatorToml, workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import { atEnd } from "../support/at-end.ts";

const directory = mkdtempSync(join(tmpdir(), "app-proxy-start-"));
afterEach(() => rmSync(join(directory, "db.sqlite3"), { force: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** Runs a service that is expected to end by itself. */
function run(service: "coordinator" | "worker", args: string[], env: Record<string, string> = {}) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, join(ROOT, `${service}/main.ts`), ...args], {
    cwd: directory,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
  return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
}

const db = join(directory, "db.sqlite3");

describe("--check", () => {
  test("looks into the certificate's files, as the start does", () => {
    const tls = { tls_listen: true, tls_cert: "/nowhere/a.pem", tls_privkey: "/nowhere/a.key" };
    const path = file("tls.toml", workerToml("http://127.0.0.1:1", 20_000, 10, { worker: tls }));
    for (const more of [["--check"], []]) {
      const { code, err } = run("worker", ["--config", path, ...more]);
      expect([code, err]).toEqual([1, expect.stringContaining("proxy_worker.tls_cert, proxy_worker.tls_privkey: /nowhere/a.pem, /nowhere/a.key: ENOENT") as string]); // prettier-ignore
    }
  });

  test("says that a good file is good, and starts nothing", () => {
    const good = file("c.toml", coordinatorToml(db, {}));
    expect(run("coordinator", ["--config", good, "--check"])).toEqual({
      code: 0,
      out: `${good}: the configuration is valid\n`,
      err: "",
    });
    const worker = file("w.toml", workerToml("http://127.0.0.1:1", 20_000, 10, {}));
    expect(run("worker", ["--config", worker, "--check"]).code).toBe(0);
  });

  test("tells all faults together, with key, value and what was wanted", () => {
    const bad = file(
      "bad.toml",
      '[proxy-coordinator]\nbind-addr = "nowhere"\ntoken_lifetime = "soon"\n[secrets]\napi_secret = 5\n',
    );
    const { code, err } = run("coordinator", ["--config", bad, "--check"]);
    expect(code).toBe(1);
    expect(err).toBe(
      `${bad}: 4 faults\n` +
        `  proxy_coordinator.bind_addr: "nowhere" was given; wanted "host:port" or { host, port }\n` +
        `  proxy_coordinator.token_lifetime: "soon" was given; wanted a number of seconds from 1 to 86400\n` +
        `  secrets.api_secret: [secret] was given; wanted a secret of at least 16 characters\n` +
        "  secrets.jwt_secret: is missing; wanted at least 16 random characters, such as `bun run keys` prints\n",
    );
  });

  test("finds the file in the working directory, and takes the environment above it", () => {
    file("app-proxy-worker.toml", workerToml("http://127.0.0.1:1", 20_000, 10, {}));
    expect(run("worker", ["--check"]).out).toStartWith("app-proxy-worker.toml: ");
    const { code, err } = run("worker", ["--check"], { APP_PROXY_WORKER__PROXY_WORKER__PROTOCOL: "gopher" });
    expect([code, err]).toEqual([1, 'app-proxy-worker.toml: 1 fault\n  proxy_worker.protocol: "gopher" (from APP_PROXY_WORKER__PROXY_WORKER__PROTOCOL) was given; wanted one of http, grpc, h2, tcp\n']); // prettier-ignore
    rmSync(join(directory, "app-proxy-worker.toml"));
  });

  test("without secrets says how to make them", () => {
    const { code, err } = run("coordinator", ["--check"]);
    expect(code).toBe(1);
    expect(err).toContain(
      "secrets.api_secret: is missing; wanted at least 16 random characters, such as `bun run keys` prints",
    );
  });

  test("of a file that is not there names it", () => {
    expect(run("worker", ["--config", "/nowhere.toml", "--check"])).toMatchObject({ code: 1, err: expect.stringContaining("Cannot read the configuration file /nowhere.toml") as string }); // prettier-ignore
  });
});

describe("a start", () => {
  test("on a taken port names it", async () => {
    const port = await freePort();
    const holder = Bun.listen({ hostname: "127.0.0.1", port, exclusive: true, socket: { data: () => undefined } });
    atEnd(() => holder.stop(true));
    const taken = file("taken.toml", coordinatorToml(db, { coordinator: { bind_addr: `127.0.0.1:${port}` } }));
    const { code, err } = run("coordinator", ["--config", taken]);
    expect(code).toBe(1);
    expect(err).toContain(`Cannot listen on 127.0.0.1:${port}`);
  });

  test("of a second coordinator on the same port does not share it", async () => {
    const port = await freePort();
    const toml = (name: string) =>
      file(
        `${name}.toml`,
        coordinatorToml(join(directory, `${name}.sqlite3`), { coordinator: { bind_addr: `127.0.0.1:${port}` } }),
      );
    const first = spawnService("coordinator/main.ts", ["--config", toml("first")]);
    await first.said("coordinator is up");
    expect(run("coordinator", ["--config", toml("second")])).toMatchObject({ code: 1, err: expect.stringContaining(`Cannot listen on 127.0.0.1:${port} (proxy_coordinator.bind_addr)`) as string }); // prettier-ignore
    expect(await first.stop()).toBe(0);
  });

  test("of a worker of a kind that this version does not serve says so", () => {
    const wild = file("wild.toml", workerToml("http://127.0.0.1:1", 20_000, 10, { worker: { protocol: "grpc" } }));
    expect(run("worker", ["--config", wild]).err).toContain(
      'proxy_worker.protocol: "grpc" is not served by this version; wanted "http"',
    );
  });

  test("with weak secrets is stopped, or warned about with debug.enabled", async () => {
    const weak = coordinatorToml(db, {}).replace(/api_secret = "[^"]*"/, 'api_secret = "some_api_secret"');
    expect(run("coordinator", ["--config", file("weak.toml", weak)]).err).toContain(
      "secrets.api_secret: is only 15 long",
    );
    const service = spawnService("coordinator/main.ts", [
      "--config",
      file("debug.toml", `${weak}\n[debug]\nenabled = true\n`),
    ]);
    await service.said("coordinator is up");
    const warned = await service.said("WEAK SECRET accepted because debug.enabled is true");
    expect(warned).toMatchObject({ level: "warn", key: "secrets.api_secret" });
    expect(JSON.stringify(service.lines)).not.toContain("some_api_secret");
    expect(await service.stop()).toBe(0);
  });

  test("without Redis and coordinator waits for them: alive, not ready", async () => {
    const api = await freePort();
    const lost = file(
      "lost.toml",
      workerToml("http://127.0.0.1:1", await freeRange(4), 4, {
        redisPort: 1,
        worker: { api_bind_addr: `127.0.0.1:${api}` },
      }),
    );
    const service = spawnService("worker/main.ts", ["--config", lost]);
    await service.said("coordinator unreachable; serving the last known circuits");
    const status = async (path: string) => (await fetch(`http://127.0.0.1:${api}${path}`)).status;
    expect([await status("/health/livez"), await status("/health/readyz")]).toEqual([200, 503]);
    const [complaint] = service.lines.filter((line) => String(line["msg"]).startsWith("coordinator unreachable"));
    expect(complaint).toMatchObject({ worker: "worker-1", reason: "PUT http://127.0.0.1:1/api/worker: ECONNREFUSED" });
    expect(await service.stop()).toBe(0);
  });
});

describe("all-in-one", () => {
  test("keeps database and secrets in its directory; circuits and permits outlive a restart", async () => {
    const app = startApp();
    atEnd(() => app.stop());
    const data = join(directory, "data");
    const [port, low] = [await freePort(), await freeRange(4)];
    const env = {
      APP_PROXY_COORDINATOR__PROXY_COORDINATOR__BIND_ADDR: `127.0.0.1:${port}`,
      APP_PROXY_WORKER__PROXY_WORKER__COORDINATOR_ENDPOINT: `http://127.0.0.1:${port}`,
      APP_PROXY_WORKER__PROXY_WORKER__API_BIND_ADDR: "127.0.0.1:0",
      APP_PROXY_WORKER__PROXY_WORKER__PORT_PROXY__BIND_PORT_RANGE: `${low}-${low + 3}`,
    };
    const start = async () => {
      const service = spawnService("scripts/all-in-one.ts", ["--data", data], { env });
      await until(() => service.lines.find((line) => String(line["msg"]).startsWith("ready")));
      return service;
    };
    const first = await start();
    expect(statSync(join(data, "secrets.toml")).mode & 0o777).toBe(0o600);
    const secret = /api_secret = "([0-9a-f]{48})"/.exec(readFileSync(join(data, "secrets.toml"), "utf8"))?.[1] ?? "";
    const manager = new Manager(`http://127.0.0.1:${port}`, secret);
    const { origin, cookie } = await manager.enter({ kernel_port: app.port });
    expect(await first.stop("SIGTERM")).toBe(0);
    const second = await start();
    expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
    // Whatever its machine is called by then: the circuits are that worker's.
    const { workers } = (await manager.api("GET", "/api/worker")).body as { workers: Record<string, unknown>[] };
    expect(workers.map(({ authority }) => authority)).toEqual(["worker-1"]);
    expect(await second.stop("SIGINT")).toBe(0);
  });
});
