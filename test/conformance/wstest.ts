/**
 * Autobahn's wstest, which tries hundreds of cases of RFC 6455 and RFC 7692 on a WebSocket server or client, and what it
 * found of each. It is a program of its own (test/support/apps/pins.ts says how it is had).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listens, startProgram, type Program } from "../support/apps/program.ts";
import { freePort } from "../support/ports.ts";
import { echoAll } from "./echo.ts";

/** What it says of a case: of the messages, and of how the connection was closed. */
export interface Verdict {
  behavior: string;
  behaviorClose: string;
}

/** By case, such as `9.1.1`. */
export type Verdicts = ReadonlyMap<string, Verdict>;

export interface Wstest {
  /** Tries the cases (`"1.*"`, `"9.1.1"`) on the server there. */
  tryServer(url: string, cases: readonly string[]): Promise<Verdicts>;
  /** The same for a client, which comes to a server of wstest's: `way` gives the URL by which it comes to a port. */
  tryClient(way: (port: number) => Promise<string>, cases: readonly string[]): Promise<Verdicts>;
}

/** `directory` is where it lies installed. */
export function wstestIn(directory: string): Wstest {
  const start = (mode: string, spec: string) =>
    startProgram([join(directory, "wstest"), "--mode", mode, "--spec", spec, "--webport", "0"], { cwd: tmpdir() });

  return {
    tryServer: (url, cases) =>
      withReport(async (files) => {
        const program = start("fuzzingclient", files.spec({ servers: [{ agent: AGENT, url }], cases }));
        await program.process.exited;
        return files.read(program);
      }),
    tryClient: (way, cases) =>
      withReport(async (files) => {
        const port = await freePort();
        const program = start("fuzzingserver", files.spec({ url: `ws://127.0.0.1:${port}`, cases }));
        try {
          await listens(program, port);
          await echoAll(await way(port), `127.0.0.1:${port}`, AGENT);
          return files.read(program);
        } finally {
          await program.stop();
        }
      }),
  };
}

// --- internal ---

const AGENT = "peer";

interface Files {
  /** Writes what it is to do; gives the file. */
  spec(content: Record<string, unknown>): string;
  read(program: Program): Verdicts;
}

async function withReport(work: (files: Files) => Promise<Verdicts>): Promise<Verdicts> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-wstest-"));
  try {
    return await work({
      spec(content) {
        const file = join(directory, "spec.json");
        const rest = { outdir: directory, "exclude-cases": [], "exclude-agent-cases": {} };
        writeFileSync(file, JSON.stringify({ ...rest, ...content }));
        return file;
      },
      read: (program) => verdictsIn(join(directory, "index.json"), program),
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function verdictsIn(index: string, { output }: Program): Verdicts {
  try {
    const report = JSON.parse(readFileSync(index, "utf8")) as Record<string, Record<string, Verdict>>;
    const found = Object.entries(report[AGENT] ?? {});
    return new Map(found.map(([id, { behavior, behaviorClose }]) => [id, { behavior, behaviorClose }]));
  } catch (error) {
    throw new Error(`wstest wrote no report; it said: ${output().slice(-2000)}`, { cause: error });
  }
}
