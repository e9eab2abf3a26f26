/**
 * Installs the packages of package.json when they are missing, so that every script runs on a fresh clone. A process of
 * its own that runs before the script: Bun remembers for the life of a process that a package was not there.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

interface Manifest {
  version: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

ensureInstalled();

// --- internal ---

/** Runs `bun install` unless every package is there in its pinned version. Throws when that fails. */
function ensureInstalled(): void {
  const manifest = read(join(ROOT, "package.json"));
  const wanted = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
  const missing = wanted.filter(([name, version]) => installed(name) !== version);
  if (missing.length === 0) return;
  process.stdout.write(`Installing ${missing.length} missing packages…\n`);
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "install", "--frozen-lockfile"], {
    cwd: ROOT,
    stdout: "ignore",
    stderr: "pipe",
  });
  if (exitCode === 0) return;
  process.stderr.write(`\`bun install\` failed with ${exitCode}:\n${stderr.toString()}`);
  process.exitCode = 1;
}

function installed(name: string): string | null {
  const file = join(ROOT, "node_modules", name, "package.json");
  return existsSync(file) ? read(file).version : null;
}

function read(file: string): Manifest {
  return JSON.parse(readFileSync(file, "utf8")) as Manifest;
}
