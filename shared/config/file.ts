/** The command line of a service and where its configuration file lies. Called by the two main.ts. */
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { unread } from "./load.ts";

export interface ConfigFile {
  /** The file's name, or a word for "there is none". */
  source: string;
  toml: string;
  /** Only validate. */
  check: boolean;
}

/** Finds and reads `--config FILE`, else NAME here, else NAME in /etc/backend.ai. Null: help was asked for. Throws when `--config` names no file. */
export function readConfigFile(name: string, argv: string[]): ConfigFile | null {
  const { values } = parseArgs({
    args: argv,
    options: { config: { type: "string" }, check: { type: "boolean" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help === true) return null;
  const check = values.check === true;
  if (values.config !== undefined) return { source: values.config, toml: read(values.config), check };
  const found = [name, `/etc/backend.ai/${name}`].find((path) => existsSync(path));
  return found === undefined
    ? { source: `(no ${name} here or in /etc/backend.ai)`, toml: "", check }
    : { source: found, toml: read(found), check };
}

/** What `--help` prints. */
export function helpText(service: string, name: string, prefix: string): string {
  return `bun run ${service} [--config FILE] [--check]

  --config FILE   configuration; default: ${name} here, else in /etc/backend.ai
  --check         only say whether the configuration is valid

Every key can be overridden by an environment variable: ${prefix}__SECTION__KEY. README.md lists the keys.
`;
}

/** What `--check` prints for a valid configuration: keys that nothing reads are named, they may be typing errors. */
export function checkedText(source: string, ignored: readonly string[], warnings: readonly string[] = []): string {
  const lines = [...warnings, ...ignored.map(unread)].map((line) => `  ${line}`);
  return [`${source}: the configuration is valid`, ...lines].join("\n").concat("\n");
}

// --- internal ---

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`Cannot read the configuration file ${path}`, { cause: error });
  }
}
