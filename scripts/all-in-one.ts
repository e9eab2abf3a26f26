/**
 * `bun run all-in-one`: coordinator and worker in one process for a small installation, events inside it, database and
 * secrets kept in one directory. Takes the two services' own files; what they leave out has its default.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parse, stringify } from "smol-toml";
import { COORDINATOR_ENV } from "../coordinator/config.ts";
import { raiseHttpLimits } from "../shared/runtime/limits.ts";
import { createLog } from "../shared/runtime/log.ts";
import { isRecord } from "../shared/values.ts";
import { snakeTables } from "../shared/config/load.ts";
import { ignoreProxySettings, runMain, shutdownOnSignal, surviveStrayErrors } from "../shared/runtime/process.ts";
import { newSecret } from "../shared/runtime/secrets.ts";
import { startEmbedded } from "./run/embedded.ts";

const HELP = `bun run all-in-one [--data DIR] [--coordinator-config FILE] [--worker-config FILE] [--redis]

  --data DIR   keeps the database and, unless configured, the secrets (default: ./app-proxy-data)
  --redis      use Redis as configured, so that Manager and other services see its keys; else this process
`;

await runMain(async () => {
  raiseHttpLimits();
  const { values } = parseArgs({
    options: {
      data: { type: "string", default: "app-proxy-data" },
      "coordinator-config": { type: "string" },
      "worker-config": { type: "string" },
      redis: { type: "boolean", default: false },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) return void process.stdout.write(HELP);
  const log = createLog("all-in-one", process.env[`${COORDINATOR_ENV}__LOGGING__LEVEL`] ?? "info");
  surviveStrayErrors(log);
  ignoreProxySettings();
  const shutdown = shutdownOnSignal(log);
  const directory = resolve(values.data);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    await startEmbedded({
      coordinator: source(values["coordinator-config"], directory),
      worker: source(values["worker-config"], directory),
      env: process.env,
      redis: values.redis,
      log,
      shutdown,
    });
  } catch (error) {
    await shutdown.run();
    throw error;
  }
  log.info({ data: directory }, "ready; secrets that are not configured are in secrets.toml there");
});

// --- internal ---

/** A service's configuration file, with the directory's secrets and database for what it leaves out. */
function source(file: string | undefined, directory: string) {
  const own = file === undefined ? {} : snakeTables(parse(readFileSync(file, "utf8")));
  // Its only worker has one name wherever its directory is moved to.
  const authority = { proxy_worker: { authority: "worker-1" } };
  const defaults = { db: { path: join(directory, "app-proxy.sqlite3") }, ...authority, ...readSecrets(directory) };
  return { source: file ?? directory, toml: stringify(fill(own, defaults)) };
}

/** What `own` has, and the defaults for what it has not. */
function fill(own: Record<string, unknown>, defaults: Record<string, unknown>): Record<string, unknown> {
  const sections = Object.entries(defaults).map(([key, fallback]) => {
    const mine = own[key];
    return [key, isRecord(mine) && isRecord(fallback) ? fill(mine, fallback) : (mine ?? fallback)];
  });
  return { ...own, ...(Object.fromEntries(sections) as Record<string, unknown>) };
}

/** The secrets of this installation: made at its first start, readable by its owner alone. */
function readSecrets(directory: string): Record<string, unknown> {
  const file = join(directory, "secrets.toml");
  if (!existsSync(file)) {
    const fresh = {
      secrets: { api_secret: newSecret(), jwt_secret: newSecret() },
      permit_hash: { secret: newSecret() },
    };
    writeFileSync(file, stringify(fresh), { mode: 0o600 });
  }
  return parse(readFileSync(file, "utf8"));
}
