/** Programs of ours that can't start, or only look at their file: all that they say to who has started them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOutside } from "../../support/outside.ts";
import { ROOT } from "../../support/spawned.ts";

export interface Start {
  program: string;
  /** Its file; none when empty. */
  toml: string;
  args?: string[];
  env?: Record<string, string>;
}

/** On a busy machine; one that runs all the same is ended. Milliseconds. */
const LIMIT_MS = 60_000;

/** Resolves when it has ended. */
export async function saidAtStart({ program, toml, args = [], env = {} }: Start): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-disclosure-start-"));
  const file = join(directory, "service.toml");
  writeFileSync(file, toml);
  const parts: string[] = [];
  const command = [process.execPath, join(ROOT, program), ...(toml === "" ? [] : ["--config", file]), ...args];
  const child = startOutside(command, { cwd: directory, env, read: (_, text) => void parts.push(text ?? "") });
  const late = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  await child.exited;
  clearTimeout(late);
  rmSync(directory, { recursive: true, force: true });
  return parts.join("");
}
