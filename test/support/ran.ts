/** A program that does one thing and ends: what it wrote, and its exit code. */

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

interface RunOptions {
  /** Its standard input; nothing when it is left out. */
  input?: string;
  env?: Record<string, string>;
  /** So long it may take. Milliseconds. */
  ms?: number;
}

/** Ends by itself or after its time. */
export async function ran(command: string[], { input, env, ms = 120_000 }: RunOptions = {}): Promise<Ran> {
  const child = Bun.spawn(command, {
    env: { ...process.env, ...env },
    stdin: input === undefined ? "ignore" : new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: ms,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout, stderr };
}
