/** The command line of a service and where its configuration file lies. Called by the two main.ts. */
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";

export interface ConfigFile {
  /** The file's name, or a word for "there is none". */
  source: string;
  toml: string;
  /** Only validate. */
  check: boolean;
}

/** Finds and reads `--config FILE`, else NAME here, else NAME in /etc/backend.ai. Throws when `--config` names no file. */
export function readConfigFile(name: string, argv: string[]): ConfigFile {
  const { values } = parseArgs({ args: argv, options: { config: { type: "string" }, check: { type: "boolean" } } });
  const check = values.check === true;
  if (values.config !== undefined) return { source: values.config, toml: read(values.config), check };
  const found = [name, `/etc/backend.ai/${name}`].find((path) => existsSync(path));
  return found === undefined
    ? { source: "(no configuration file)", toml: "", check }
    : { source: found, toml: read(found), check };
}

// --- internal ---

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`Cannot read the configuration file ${path}`, { cause: error });
  }
}
