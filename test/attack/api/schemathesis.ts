/** Schemathesis, which makes requests from the OpenAPI document alone, with all of its checks, and what it found. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Found {
  /** Such as `UndefinedStatusCode`. */
  check: string;
  /** `GET /status`, or what it has made of several. */
  operation: string;
}

export interface Findings {
  found: Found[];
  /** How many requests it has made. */
  requests: number;
  /** All that it said. */
  output: string;
}

/** `directory`: where it lies installed. So many requests of each kind for each call, within so many seconds. */
export async function schemathesis(
  directory: string,
  url: string,
  { secret, seed, examples, seconds }: { secret: string; seed: number; examples: number; seconds: number },
): Promise<Findings> {
  const cwd = mkdtempSync(join(tmpdir(), "app-proxy-schemathesis-"));
  try {
    const report = join(cwd, "report.json");
    const command = [
      join(directory, "bin/schemathesis"),
      "run",
      `${url}/swagger/json`,
      "--checks",
      "all",
      "--continue-on-failure",
    ];
    const amount = ["--max-examples", String(examples), "--max-time", String(seconds), "--seed", String(seed)];
    const how = [
      "--header",
      `X-BackendAI-Token: ${secret}`,
      "--generation-database",
      "none",
      "--suppress-health-check",
      "all",
    ];
    const output = ["--no-color", "--report", "json", "--report-json-path", report];
    const program = Bun.spawn([...command, ...amount, ...how, ...output], {
      cwd,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    }); // prettier-ignore
    const texts = await Promise.all([new Response(program.stdout).text(), new Response(program.stderr).text()]);
    const code = await program.exited;
    // 1: it has found something.
    if (code > 1) throw new Error(`schemathesis ended with ${code}: ${texts.join("\n").slice(-3000)}`);
    return { ...read(readFileSync(report, "utf8")), output: texts.join("\n") };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

// --- internal ---

interface Report {
  failures: { type: string; operations: string[] }[];
  errors: unknown[];
  test_cases: { generated: number };
}

function read(text: string): Pick<Findings, "found" | "requests"> {
  const { failures, errors, test_cases: cases } = JSON.parse(text) as Report;
  if (errors.length > 0)
    throw new Error(`schemathesis could not try everything: ${JSON.stringify(errors).slice(0, 2000)}`);
  const found = failures.flatMap(({ type, operations }) => operations.map((operation) => ({ check: type, operation })));
  return { found, requests: cases.generated };
}
