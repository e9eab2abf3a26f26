/**
 * `bun run keys`: makes secrets, as lines for the configuration files. What it writes to the terminal is new; secrets that are
 * there already are read, moved from key to key, and never shown.
 */
import { readFileSync, realpathSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadCoordinatorConfig, COORDINATOR_FILE } from "../../coordinator/config.ts";
import { readConfigFile } from "../../shared/config/file.ts";
import { runMain, StartError } from "../../shared/runtime/process.ts";
import { forWorker, freshLines } from "./keys/lines.ts";
import { finish, rotate, writeAll } from "./keys/rotate.ts";

const HELP = `bun run keys [--worker AUTHORITY [--config FILE] | --rotate FILE… | --finish [--keep LIST] FILE…]

  (nothing)           new secrets for a coordinator and its workers
  --worker AUTHORITY  a worker's own secrets, made of those in the coordinator's file (--config, or where the coordinator
                      looks for it): with them it can act for itself alone
  --rotate FILE…      gives the files new secrets, the same in all, and keeps the present ones as previous
  --finish FILE…      takes the previous ones away, when all services have the new ones; with --keep previous_jwt_secrets
                      not those with which tokens of model services may be signed

permit_hash.secret stays: people would be refused.

docs/secrets.md says in which order services are restarted.
`;

await runMain(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      worker: { type: "string" },
      config: { type: "string" },
      rotate: { type: "boolean", default: false },
      finish: { type: "boolean", default: false },
      keep: { type: "string", multiple: true, default: [] },
      help: { type: "boolean", short: "h" },
    },
  });
  const { worker, config, rotate: rotates, finish: finishes } = values;
  if (values.help === true) return void process.stdout.write(HELP);
  const ways = [worker !== undefined, rotates, finishes].filter(Boolean).length;
  if (ways > 1) throw new StartError("--worker, --rotate and --finish: wanted one of them");
  if ((rotates || finishes) !== positionals.length > 0)
    throw new StartError(
      positionals.length > 0
        ? `${positionals.join(" ")}: wanted --rotate, --finish or --worker before it`
        : "--rotate and --finish: wanted files behind them",
    );
  if (values.keep.length > 0 && !finishes) throw new StartError("--keep: wanted --finish with it");
  if (config !== undefined && worker === undefined) throw new StartError("--config: wanted --worker with it");
  if (worker !== undefined) return void process.stdout.write(forWorker(worker, coordinatorSecrets(config)));
  if (ways === 0) return void process.stdout.write(freshLines());
  const paths = [...new Set(positionals.map((path) => realpathSync(path)))];
  const files = paths.map((path) => ({ path, text: readFileSync(path, "utf8") }));
  writeAll(rotates ? rotate(files) : finish(files, values.keep));
  process.stdout.write(positionals.map((path) => `${path}: ${rotates ? "new secrets, with the ones before them" : `without the previous secrets${values.keep.length > 0 ? ` but ${values.keep.join(", ")}` : ""}`}\n`).join("")); // prettier-ignore
});

// --- internal ---

function coordinatorSecrets(path: string | undefined) {
  const file = readConfigFile(COORDINATOR_FILE, path === undefined ? [] : ["--config", path]);
  if (file === null) throw new StartError("the coordinator's file was not found");
  return loadCoordinatorConfig(file.source, file.toml, process.env).values.secrets;
}
