/**
 * The thread that starts programs for `startOutside`. Bun ends all processes of a test's own thread when one test passes
 * its limit; those of another thread it leaves alone. Told by messages what to start, tells by messages what came of it.
 */
import type { Streamed, Told, Wanted } from "./messages.ts";

declare const self: Worker;

/**
 * setpriv(1): the kernel kills the program when this thread ends, so also when the test process is killed. It says nothing
 * of a parent that was gone before it was asked (prctl(2), PR_SET_PDEATHSIG): the shell looks whose child it is by then.
 */
const LEASH = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", '[ "$PPID" -eq "$0" ] && exec "$@"', String(process.pid)];
const leash = Bun.which("setpriv") === null ? [] : LEASH;

self.addEventListener("message", ({ data }: MessageEvent<Wanted>) => start(data));

// --- internal ---

const tell = (what: Told) => self.postMessage(what);

function start({ id, command, cwd, env, detached, reads, started }: Wanted): void {
  const pipe = reads ? "pipe" : "ignore";
  const answer = new Int32Array(started);
  try {
    const child = Bun.spawn([...leash, ...command], {
      ...(cwd === undefined ? {} : { cwd }),
      env,
      detached,
      stdin: "ignore",
      stdout: pipe,
      stderr: pipe,
      onExit({ signalCode }, exitCode) {
        tell({ id, kind: "exit", exitCode, signalCode: typeof signalCode === "string" ? signalCode : null });
      },
    });
    Atomics.store(answer, 1, child.pid);
    for (const stream of ["stdout", "stderr"] as const) void pass(id, stream, child[stream]);
  } catch (error) {
    Atomics.store(answer, 1, -1);
    tell({ id, kind: "failed", why: String(error) });
  }
  Atomics.store(answer, 0, 1);
  Atomics.notify(answer, 0);
}

async function pass(id: number, stream: Streamed, from: ReadableStream<Uint8Array> | undefined): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of from ?? [])
    tell({ id, kind: "text", stream, text: decoder.decode(chunk, { stream: true }) });
  tell({ id, kind: "end", stream });
}
