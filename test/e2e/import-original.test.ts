/**
 * `bun run import-original` as an operator runs it: from a real PostgreSQL with the original's rows to a coordinator and a
 * worker of ours with the same authority, at which URLs, bearer tokens and open apps go on.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { SQL } from "bun";
import { startApp, type App } from "../support/app.ts";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { JWT_SECRET, Manager, PERMIT_SECRET } from "../support/manager.ts";
import * as original from "../support/original-database.ts";
import { id } from "../support/original-database.ts";
import { mint, permitOf } from "../support/original/tokens.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { PASSWORD, startPostgres, type Postgres } from "../support/postgres.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { ROOT, spawnService, type Service } from "../support/spawned.ts";
import { coordinatorToml, workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";
import { USER } from "../support/values.ts";

// PostgreSQL takes its time on a busy machine.
setDefaultTimeout(120_000);

let postgres: Postgres;
let certificates: Certificates;
let sql: SQL;
let directory: string;
let config: string;
let database: string;

beforeAll(async () => {
  certificates = startCertificates("postgres");
  postgres = await startPostgres(certificates);
  sql = await postgres.create("appproxy");
  await original.createSchema(sql);
});
afterAll(async () => {
  await postgres.stop();
  certificates.remove();
});
beforeEach(async () => {
  await sql.unsafe("TRUNCATE circuits, endpoints, tokens, worker_app_filters, workers CASCADE");
  directory = mkdtempSync(join(tmpdir(), "app-proxy-import-"));
  config = join(directory, "app-proxy-coordinator.toml");
  database = join(directory, "db.sqlite3");
  writeFileSync(config, coordinatorToml(database, {}));
  return () => rmSync(directory, { recursive: true, force: true });
});

interface Run {
  code: number;
  out: string;
  error: string;
}

async function run(args: string[], env: Record<string, string> = {}): Promise<Run> {
  const child = Bun.spawn([process.execPath, "run", "import-original", "--config", config, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  // Whatever happens.
  expect(out + error).not.toContain(PASSWORD);
  expect(out + error).not.toContain(encodeURIComponent(PASSWORD));
  return { code: await child.exited, out, error };
}

const from = (database = "appproxy", query = "") => ["--from", `${postgres.url(database)}${query}`];

describe("the command", () => {
  test("says what it would do, and does not do it, with --dry-run", async () => {
    await original.insert(sql, "workers", original.worker());
    await original.insert(sql, "circuits", original.circuit(), original.service(), original.circuit({ id: id("c", 9), port: 1 })); // prettier-ignore
    const dry = await run([...from(), "--dry-run"]);
    expect([dry.code, dry.error]).toEqual([0, ""]);
    expect(existsSync(database)).toBe(false);
    const wet = await run(from());
    expect(existsSync(database)).toBe(true);
    expect(wet.out).toBe(dry.out.replace("Dry run: nothing is written.\n", ""));
    expect(wet.out.split("\n").slice(0, 2)).toEqual([
      `from postgresql://appproxy@127.0.0.1:${postgres.port}/appproxy (schema a1b2c3d4e5f6)`,
      `to   ${database} (${config})`,
    ]);
    expect(wet.out).toEndWith("circuits: 2 taken over, 1 skipped; workers: 1 taken over\n");
    const again = await run([...from(), "--dry-run"]);
    expect(again.out).toEndWith("circuits: 2 there already, 1 skipped\n");
  });

  test("takes the password from PGPASSWORD", async () => {
    const url = `postgresql://appproxy@127.0.0.1:${postgres.port}/appproxy`;
    expect(await run(["--from", url], { PGPASSWORD: PASSWORD })).toMatchObject({ code: 0, error: "" });
    expect(await run(["--from", url], { PGPASSWORD: "wrong" })).toMatchObject({ code: 1 });
  });

  test("speaks TLS where it is told to, and believes only the authority that it is told", async () => {
    for (const query of ["?sslmode=require", `?sslmode=verify-full&sslrootcert=${certificates.cert}`])
      expect(await run(from("appproxy", query))).toMatchObject({ code: 0, error: "" });
    const unknown = await run(from("appproxy", "?sslmode=verify-full"));
    expect([unknown.code, unknown.error]).toEqual([1, expect.stringContaining("self signed certificate")]);
  });

  test.each([
    ["no --from", () => [], "--from: is missing; wanted postgresql://USER@HOST:PORT/DATABASE\n"],
    ["another database's URL", () => ["--from", "mysql://a:b@c/d"], "--from: wanted postgresql://USER:PASSWORD@HOST:PORT/DATABASE\n"],
    ["a database without the tables", () => from("postgres"), "--from: no database of the original's coordinator: it has no table alembic_version\n"],
    ["a database that is not there", () => from("nothing"), /^Cannot read the original's database at postgresql:\/\/appproxy@127.0.0.1:\d+\/nothing: database "nothing" does not exist\n$/],
    ["a port where nobody listens", () => ["--from", `postgresql://appproxy:${encodeURIComponent(PASSWORD)}@127.0.0.1:1/x`], /^Cannot read the original's database at postgresql:\/\/appproxy@127.0.0.1:1\/x: /],
  ] as const)("refuses %s with 1 and a reason", async (_what, args, wanted) => {
    const { code, out, error } = await run([...args()]);
    expect(code).toBe(1);
    if (typeof wanted === "string") expect(error).toBe(wanted);
    else expect(error).toMatch(wanted);
    expect(out).not.toContain("taken over");
    expect(existsSync(database)).toBe(false);
  }); // prettier-ignore

  test("refuses the tables of another version", async () => {
    const old = await postgres.create("older");
    await original.createSchema(old);
    await old.unsafe("UPDATE alembic_version SET version_num = '7dbbc087108e'");
    expect(await run(from("older"))).toMatchObject({
      code: 1,
      error:
        "--from: the database's schema is 7dbbc087108e (alembic_version); wanted a1b2c3d4e5f6, that of the original 26.9.6: bring the original up to date first\n",
    });
  });
});

describe("after it, at our coordinator and a worker with the same authority,", () => {
  let redis: RedisServer;
  let app: App;
  const services: Service[] = [];

  beforeAll(async () => {
    redis = await startRedis();
    app = startApp();
  });
  afterAll(async () => {
    await app.stop();
    await redis.stop();
  });

  async function start(file: string, args: string[], said: string): Promise<void> {
    const service = spawnService(file, args);
    services.push(service);
    await service.said(said);
  }

  test.each(["before", "while"] as const)(
    "open apps, URLs and bearer tokens go on, when it is done %s the coordinator runs",
    async (when) => {
      const [api, low] = [await freePort(), await freeRange(8)];
      const [mine, model] = [low + 2, low + 5];
      const settings = { redisPort: redis.port, permit: { accept_legacy: true } };
      const files = { coordinator: config, worker: join(directory, "worker.toml") };
      writeFileSync(config, coordinatorToml(database, { ...settings, coordinator: { bind_addr: `127.0.0.1:${api}` } }));
      writeFileSync(
        files.worker,
        workerToml(`http://127.0.0.1:${api}`, low, 8, { ...settings, worker: { authority: "worker-http" } }),
      );
      const kernel = { kernel_host: "127.0.0.1", kernel_port: app.port };
      await original.insert(sql, "workers", original.worker({ port_range: [low, low + 7] }));
      await original.insert(sql, "endpoints", original.endpoint({ health_check_enabled: false }));
      await original.insert(
        sql,
        "circuits",
        original.circuit({ port: mine, route_info: [original.route(kernel)] }),
        original.service({ port: model, route_info: [original.route({ ...kernel, route_id: id("r", 1) })] }),
      );
      await original.insert(sql, "tokens", original.token(kernel));
      const manager = new Manager(`http://127.0.0.1:${api}`);
      const up = async () => {
        await start("coordinator/main.ts", ["--config", files.coordinator], "coordinator is up");
        await start("worker/main.ts", ["--config", files.worker], "circuits are known");
      };
      if (when === "while") await up();
      expect(await run(from())).toMatchObject({ code: 0, error: "" });
      if (when === "before") await up();

      // The cookie as browsers have it of the original, and a token as its coordinator 26.9.6 has minted it.
      const cookie = `appproxy_permit="${permitOf(USER, PERMIT_SECRET)}"`;
      const bearer = await mint(
        {
          arguments: null,
          created_at: 1_795_691_287.726986,
          open_to_public: false,
          updated_at: 1_795_691_287.726993,
          app: "llama",
          worker: id("w", 1),
          allowed_client_ips: null,
          id: id("c", 2),
          app_mode: "inference",
          user_id: USER,
          protocol: "http",
          frontend_mode: "port",
          endpoint_id: id("e", 1),
          port: model,
          runtime_variant: "vllm",
          subdomain: null,
          session_ids: [],
          envs: {},
          app_url: `http://127.0.0.1:${model}`,
          user: USER,
          exp: Math.floor(Date.now() / 1000) + 9 * 365 * 86_400,
        },
        JWT_SECRET,
      );
      const status = async (port: number, headers: Record<string, string>) =>
        fetch(`http://127.0.0.1:${port}/`, { headers, keepalive: false }).then(
          (answer) => answer.status,
          () => 0, // the port is not open yet
        );
      await until(async () => (await status(mine, { cookie })) === 200, 30_000, "the open app to go on");
      expect(await status(mine, {})).toBe(401);
      await until(
        async () => (await status(model, { authorization: `Bearer ${bearer}` })) === 200,
        30_000,
        "the token",
      );
      expect(await status(model, {})).toBe(401);
      // A link that was on its way, and the Manager's next call: the same circuits.
      const again = await manager.auth(id("t", 1), id("s", 1));
      expect([again.status, again.body["circuit_id"], again.body["reuse"]]).toEqual([200, id("c", 1), true]);
      const synced = await manager.api("POST", `/v2/endpoints/${id("e", 1)}`, {
        service_name: "llama",
        tags: { session: { user_uuid: USER }, endpoint: { runtime_variant: "vllm" } },
      });
      expect(synced.body["endpoint"]).toBe(`http://127.0.0.1:${model}/`);
      await Promise.all(services.splice(0).map((service) => service.stop()));
    },
  );
});
