/**
 * Coordinator and worker in one process, events inside it, database and secrets kept in one directory.
 * Takes the two services' own configuration files; without them the defaults, and secrets that are made once.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parse, stringify } from "smol-toml";
import { COORDINATOR_ENV } from "../../coordinator/config.ts";
import { createLog } from "../../shared/log.ts";
import { ignoreProxySettings, runMain, shutdownOnSignal, surviveStrayErrors } from "../../shared/process.ts";
import { newSecret } from "../../shared/secrets.ts";
import { startEmbedded } from "../embedded.ts";

const HELP = `bun run all-in-one [--data DIR] [--coordinator-config FILE] [--worker-config FILE] [--redis]

  --data DIR   keeps the database and, unless configured, the secrets (default: ./app-proxy-data)
  --redis      use Redis as configured, so that Manager and other services see its keys; else this process
`;

export function allInOne(argv: string[]): Promise<void> {
  return runMain(async () => {
    const { values } = parseArgs({
      args: argv,
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
    const shutdown = shutdownOnSignal(log);
    ignoreProxySettings();
    const directory = resolve(values.data);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const embedded = await startEmbedded({
      coordinator: source(values["coordinator-config"], directory, {
        db: { path: join(directory, "app-proxy.sqlite3") },
      }),
      worker: source(values["worker-config"], directory, {}),
      env: process.env,
      redis: values.redis,
      log,
    });
    shutdown.add(() => embedded.stop());
    log.info({ data: directory }, "ready; the secrets are in secrets.toml there unless configured");
  });
}

// --- internal ---

/** A service's configuration file; without one, its defaults with the directory's secrets. */
function source(file: string | undefined, directory: string, defaults: Record<string, unknown>) {
  if (file !== undefined) return { source: file, toml: readFileSync(file, "utf8") };
  return { source: directory, toml: stringify({ ...readSecrets(directory), ...defaults }) };
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
