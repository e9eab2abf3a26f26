/**
 * Writes what is generated: README's configuration tables, ARCHITECTURE's table of what an engine can't do, and
 * test/fixtures/openapi.json.
 * With `--check` it only says what is out of date; `bun run check` calls it so.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COORDINATOR_ENV, coordinatorTable } from "../../coordinator/config.ts";
import { hostPort, isRecord } from "../../shared/values.ts";
import { keysOf, type Key, type Table } from "../../shared/config/load.ts";
import { WORKER_ENV } from "../../worker/config.ts";
import { workerTable } from "../../worker/config/table.ts";
import { BUN_CAPABILITIES } from "../../worker/engine/bun/capabilities.ts";
import type { Capabilities } from "../../worker/seam/capabilities.ts";
import { ROOT } from "../root.ts";
import { currentOpenApi } from "./openapi.ts";

const README = join(ROOT, "README.md");
const ARCHITECTURE = join(ROOT, "ARCHITECTURE.md");
const OPENAPI = join(ROOT, "test/fixtures/openapi.json");

const wanted = new Map([
  [README, withTables(readFileSync(README, "utf8"))],
  [ARCHITECTURE, put(readFileSync(ARCHITECTURE, "utf8"), "deviations of the Bun engine", deviations(BUN_CAPABILITIES))],
  [OPENAPI, `${JSON.stringify(await currentOpenApi(), null, 2)}\n`],
]);

const stale = [...wanted].filter(([file, text]) => !Bun.file(file).size || readFileSync(file, "utf8") !== text);
if (process.argv.includes("--check")) {
  for (const [file] of stale)
    process.stdout.write(`${file.slice(ROOT.length + 1)} is out of date: run \`bun run docs\`\n`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  for (const [file, text] of stale) writeFileSync(file, text);
}

// --- internal ---

function withTables(readme: string): string {
  return [
    ["coordinator", coordinatorTable, COORDINATOR_ENV] as const,
    ["worker", workerTable, WORKER_ENV] as const,
  ].reduce((text, [name, table, prefix]) => put(text, `${name} configuration`, tableOf(table, prefix)), readme);
}

function put(text: string, name: string, body: string): string {
  const [start, end] = [`<!-- ${name}: generated -->`, `<!-- ${name}: end -->`];
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from === -1 || to === -1) throw new Error(`a document has no "${start}" … "${end}"`);
  return `${text.slice(0, from + start.length)}\n${body}\n${text.slice(to)}`;
}

function tableOf(table: Table, prefix: string): string {
  const rows = keysOf(table, prefix).map(
    ({ key, field }) => `| \`${key}\` | ${shown(field)} | ${escape(field.description)} |`,
  );
  return ["| key | default | what it is |", "|---|---|---|", ...rows].join("\n");
}

function deviations({ deviations: broken }: Capabilities): string {
  const rows = Object.entries(broken).map(
    ([name, { line, reason }]) => `| ${line} | ${escape(name)} | ${escape(reason)} |`,
  );
  return ["| line | what an app or a client could notice | why |", "|---|---|---|", ...rows].join("\n");
}

function shown({ fallback, secret }: Key["field"]): string {
  if (fallback === null || fallback === "" || (Array.isArray(fallback) && fallback.length === 0))
    return secret && fallback === "" ? "—" : "";
  if (isRecord(fallback)) return `\`"${hostPort(fallback as { host: string; port: number })}"\``;
  return `\`${JSON.stringify(fallback)}\``;
}

function escape(text: string): string {
  return text.replaceAll("|", "\\|");
}
