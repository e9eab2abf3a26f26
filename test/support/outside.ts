/**
 * Programs that several tests of a file need: Redis, services, apps. Bun ends all processes that a test file's own thread
 * has started when one test passes its limit ("killed 4 dangling processes"), detached ones too, and every later test
 * would fail with it. What another thread started goes on; it ends with the test process, however that ends.
 */
import { constants } from "node:os";
import type { Streamed, Told, Wanted } from "./outside/messages.ts";

export interface Outside {
  readonly pid: number;
  /** As of Bun's own `Subprocess`. */
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | null;
  readonly exited: Promise<number>;
  /** Does nothing when it has ended. */
  kill(signal?: NodeJS.Signals): void;
}

export interface OutsideOptions {
  cwd?: string;
  env?: Record<string, string | undefined>;
  /** In a process group of its own. */
  detached?: boolean;
  /** Called with what it writes, and with null at the end of a stream. Without it nothing is kept. */
  read?: (stream: Streamed, text: string | null) => void;
}

/** How long starting a program may take. Milliseconds. */
const PATIENCE_MS = 60_000;

/** Starts a program; throws when it can't be started. */
export function startOutside(command: string[], options: OutsideOptions = {}): Outside {
  // Under setpriv a missing program would be an exit code.
  const program = String(command[0]);
  if (!program.startsWith("/") && Bun.which(program) === null) throw new Error(`Cannot start ${program}: not in PATH`);
  const id = ++made;
  const started = new Int32Array(new SharedArrayBuffer(8));
  const exit = Promise.withResolvers<number>();
  let exitCode: number | null = null;
  let signalCode: NodeJS.Signals | null = null;
  listeners.set(id, (told) => {
    if (told.kind === "text") options.read?.(told.stream, told.text);
    else if (told.kind === "end") options.read?.(told.stream, null);
    else if (told.kind === "exit") {
      if (--running === 0) thread?.unref();
      ({ exitCode, signalCode } = told);
      exit.resolve(exitCode ?? 128 + (signalCode === null ? 0 : (constants.signals[signalCode] ?? 0)));
    }
  });
  const { cwd, detached = false } = options;
  const env = { ...process.env, ...options.env };
  const reads = options.read !== undefined;
  spawner().postMessage({ id, command, cwd, env, detached, reads, started: started.buffer } satisfies Wanted);
  const waited = Atomics.wait(started, 0, 0, PATIENCE_MS);
  const pid = Atomics.load(started, 1);
  if (waited === "timed-out" || pid <= 0) throw new Error(`Cannot start ${command.join(" ")}`);
  if (++running === 1) thread?.ref(); // somebody may wait for its end
  return {
    pid,
    get exitCode() {
      return exitCode;
    },
    get signalCode() {
      return signalCode;
    },
    exited: exit.promise,
    kill(signal = "SIGTERM") {
      if (exitCode === null && signalCode === null) send(pid, signal);
    },
  };
}

// --- internal ---

let made = 0;
let running = 0;
let thread: Worker | null = null;
const listeners = new Map<number, (told: Told) => void>();

function spawner(): Worker {
  if (thread !== null) return thread;
  thread = new Worker(new URL("outside/spawner.ts", import.meta.url).href);
  thread.unref();
  thread.addEventListener("message", ({ data }: MessageEvent<Told>) => listeners.get(data.id)?.(data));
  return thread;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ended just now; the message that says so is under way
  }
}
