/** What is known of flaws in the packages: asks the registry by `bun audit`. Not every registry answers that. */
import { isRecord } from "../../../shared/values.ts";

export interface Advisory {
  name: string;
  severity: string;
  title: string;
  url: string;
  /** The versions that have the flaw. */
  versions: string;
}

/** Why is null where the registry has answered. */
export type Audit = { why: null; advisories: Advisory[] } | { why: string };

/** How long the registry may take. Milliseconds. */
const PATIENCE_MS = 30_000;

/** Asks about what the services need at run time, or about all packages. `env` adds to the environment. */
export function auditOf(root: string, which: "runtime" | "all", env: Record<string, string> = {}): Audit {
  const only = which === "runtime" ? ["--production"] : [];
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, "audit", "--json", ...only], {
    cwd: root,
    env: { ...process.env, ...env },
    stdin: "ignore",
    timeout: PATIENCE_MS,
  });
  const found = read(stdout.toString());
  // With flaws the exit code is 1, as it is without an answer.
  if (found !== null) return { why: null, advisories: found };
  return { why: stderr.toString().trim().split("\n")[0] || `bun audit ended with ${exitCode} and said nothing` };
}

// --- internal ---

/** Package → list of advisories, as the registry's answer has it; null for anything else. */
function read(text: string): Advisory[] | null {
  try {
    const told: unknown = JSON.parse(text);
    if (!isRecord(told)) return null;
    return Object.entries(told).flatMap(([name, list]) =>
      Array.isArray(list) ? list.filter(isRecord).map((one) => advisory(name, one)) : [],
    );
  } catch {
    return null; // no answer, and standard error says why
  }
}

function advisory(name: string, one: Record<string, unknown>): Advisory {
  const text = (field: string) => (typeof one[field] === "string" ? one[field] : "");
  return { name, severity: text("severity"), title: text("title"), url: text("url"), versions: text("vulnerable_versions") }; // prettier-ignore
}
