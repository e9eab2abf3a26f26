/**
 * A real PostgreSQL on a loopback port, in a folder of its own, from Debian's package (no service is started). It refuses to
 * run as root: there it runs as the package's user `postgres`.
 */
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SQL } from "bun";
import { Glob } from "bun";
import type { Certificates } from "./certificates.ts";
import { startOutside, type Outside } from "./outside.ts";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";

export interface Postgres {
  port: number;
  /** With the password of the owner, for a database. */
  url(database: string): string;
  /** Makes an empty database and gives a connection to it. */
  create(database: string): Promise<SQL>;
  stop(): Promise<void>;
}

export const PASSWORD = "d3v/elove@x";
const USER = "appproxy";

/** Passwords are asked for, as on a real site. With `tls` it takes TLS connections with that certificate. */
export async function startPostgres(tls?: Pick<Certificates, "cert" | "key">): Promise<Postgres> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-postgres-"));
  const data = join(directory, "data");
  chmodSync(directory, 0o755);
  await owned(directory);
  await Bun.write(join(directory, "password"), PASSWORD);
  chmodSync(join(directory, "password"), 0o644);
  await run("initdb", ["-D", data, "-U", USER, "-A", "scram-sha-256", `--pwfile=${join(directory, "password")}`, "-N"]);
  const secure = tls === undefined ? [] : await secured(data, tls);
  const port = await freePort();
  const settings = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=20", ...secure];
  const child = startOutside(command("postgres", ["-D", data, "-p", String(port), "-k", directory, ...settings]), {
    cwd: "/",
  });
  const url = (database: string) =>
    `postgresql://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/${database}`;
  await until(() => answers(url("postgres"), child), 30_000, "PostgreSQL to answer");
  const open: SQL[] = [];
  return {
    port,
    url,
    async create(database) {
      const admin = new SQL(url("postgres"), { max: 1 });
      await admin.unsafe(`CREATE DATABASE ${database}`);
      await admin.close();
      const sql = new SQL(url(database), { max: 1 });
      open.push(sql);
      return sql;
    },
    async stop() {
      await Promise.all(open.map((sql) => sql.close()));
      child.kill("SIGQUIT");
      await child.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

// --- internal ---

function command(program: string, args: string[]): string[] {
  const [binary] = [...new Glob(`/usr/lib/postgresql/*/bin/${program}`).scanSync("/")].toSorted().slice(-1);
  const found = binary ?? Bun.which(program);
  if (found == null) throw new Error(`${program} is missing; wanted Debian's package postgresql`);
  // A change of user loosens the leash of `startOutside` (prctl(2), PR_SET_PDEATHSIG): it is put on again.
  const asPostgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "KILL"];
  return [...(process.getuid?.() === 0 ? asPostgres : []), found, ...args];
}

async function run(program: string, args: string[]): Promise<void> {
  const child = Bun.spawn(command(program, args), { cwd: "/", stdout: "ignore", stderr: "pipe" });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`${program} ended with ${child.exitCode}: ${said}`);
}

/** PostgreSQL takes nothing that is another user's. */
async function owned(path: string): Promise<void> {
  if (process.getuid?.() === 0) await Bun.$`chown postgres ${path}`.quiet();
}

async function secured(data: string, { cert, key }: Pick<Certificates, "cert" | "key">): Promise<string[]> {
  for (const [from, name] of [
    [cert, "server.crt"],
    [key, "server.key"],
  ] as const) {
    copyFileSync(from, join(data, name));
    chmodSync(join(data, name), 0o600);
    await owned(join(data, name));
  }
  return ["-c", "ssl=on"];
}

async function answers(url: string, child: Outside): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`);
  const sql = new SQL(url, { max: 1, connectionTimeout: 5 });
  try {
    await sql.unsafe("SELECT 1");
    return true;
  } catch {
    return false; // starting
  } finally {
    await sql.close();
  }
}
