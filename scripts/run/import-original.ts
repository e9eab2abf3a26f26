/**
 * `bun run import-original --from postgresql://…`: takes circuits, model services and their workers over from the database of
 * the original's coordinator (26.9.6) into this coordinator's, so that URLs, bearer tokens and open apps go on. This
 * coordinator may be running meanwhile: its workers see the new circuits within seconds. The original's should be stopped.
 */
import { Database } from "bun:sqlite";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { COORDINATOR_FILE, loadCoordinatorConfig } from "../../coordinator/config.ts";
import { openDb } from "../../coordinator/store/open.ts";
import type { Store } from "../../coordinator/store/store.ts";
import { ALEMBIC_HEAD, readOriginal, shownUrl } from "../../coordinator/import/source.ts";
import { takeOver, type Line } from "../../coordinator/import/take-over.ts";
import { readConfigFile } from "../../shared/config/file.ts";
import { ConfigError } from "../../shared/config/load.ts";
import { reason } from "../../shared/failure.ts";

const HELP = `bun run import-original --from postgresql://USER@HOST:PORT/DATABASE [--config FILE] [--dry-run]

  --from URL      the database of the original's coordinator; the password may be in PGPASSWORD instead.
                  TLS: ?sslmode=require, or verify-full with &sslrootcert=FILE
  --config FILE   configuration of this coordinator, whose [db] path is written to; default: ${COORDINATOR_FILE} here,
                  else in /etc/backend.ai
  --dry-run       only say what would be done; nothing is written
`;

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError ? error.message : reason(error)}\n`);
  process.exit(1);
}

// --- internal ---

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      from: { type: "string" },
      config: { type: "string" },
      "dry-run": { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) return say(HELP);
  if (values.from === undefined) throw new Error("--from: is missing; wanted postgresql://USER@HOST:PORT/DATABASE");
  const dryRun = values["dry-run"] === true;
  const file = readConfigFile(COORDINATOR_FILE, values.config === undefined ? [] : ["--config", values.config]);
  if (file === null) return;
  const { values: config } = loadCoordinatorConfig(file.source, file.toml, process.env);
  const path = resolve(config.db.path);
  say(`from ${shownUrl(values.from)} (schema ${ALEMBIC_HEAD})\nto   ${path} (${file.source})\n`);
  if (dryRun) say("Dry run: nothing is written.\n");

  const tables = await readOriginal(values.from);
  const settings = {
    now: Date.now(),
    newId: () => crypto.randomUUID(),
    tokenLifetime: config.proxy_coordinator.token_lifetime * 1000,
  };
  const lines = await inDatabase(path, dryRun, (database) => takeOver(database, tables, settings));
  for (const line of lines) say(textOf(line));
  say(summary(lines));
}

/** A dry run has a copy: opening a database applies migrations, and one that is not there is made. */
async function inDatabase<T>(path: string, dryRun: boolean, work: (database: Store) => Promise<T>): Promise<T> {
  const folder = dryRun ? mkdtempSync(join(tmpdir(), "import-original-")) : null;
  const file = folder === null ? path : join(folder, "copy.sqlite3");
  try {
    if (folder !== null && existsSync(path)) copyTo(path, file);
    const database = openDb(file, () => crypto.randomUUID());
    try {
      return await work(database);
    } finally {
      database.close();
    }
  } finally {
    if (folder !== null) rmSync(folder, { recursive: true });
  }
}

/** With what a running coordinator has not yet written into the file itself. */
function copyTo(path: string, copy: string): void {
  const original = new Database(path, { readonly: true });
  try {
    original.query("VACUUM INTO ?").run(copy);
  } finally {
    original.close();
  }
}

function textOf({ what, id, outcome, about }: Line): string {
  return `${what.padEnd(7)} ${id}  ${outcome}: ${about}\n`;
}

function summary(lines: readonly Line[]): string {
  const counted = (["circuit", "worker", "token", "note"] as const).flatMap((what) => {
    const mine = lines.filter((line) => line.what === what);
    const groups = [...Map.groupBy(mine, ({ outcome }) => outcome)].map(
      ([outcome, some]) => `${some.length} ${outcome}`,
    );
    return mine.length === 0 && what !== "circuit" ? [] : [`${what}s: ${groups.join(", ") || "none"}`];
  });
  return `${counted.join("; ")}\n`;
}

function say(text: string): void {
  process.stdout.write(text);
}
