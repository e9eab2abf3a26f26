/** The repository in a folder of its own, without packages: as somebody has it who has just fetched it. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { atEnd } from "./at-end.ts";
import { ROOT } from "./spawned.ts";

/** Gives its path; it is removed at the end of the test. What is not committed yet is in it, what is ignored is not. */
export function freshClone(): string {
  const clone = mkdtempSync(join(tmpdir(), "app-proxy-clone-"));
  atEnd(() => rmSync(clone, { recursive: true, force: true }));
  const { stdout } = Bun.spawnSync(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
  });
  const files = stdout.toString().split("\0");
  for (const file of files.filter((name) => name !== "" && existsSync(join(ROOT, name)))) {
    mkdirSync(join(clone, dirname(file)), { recursive: true });
    cpSync(join(ROOT, file), join(clone, file));
  }
  return clone;
}
