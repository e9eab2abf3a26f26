/** What a service's process does around the service: start-up messages, signals, unexpected errors. Called by the main.ts files. */
import { reason } from "../failure.ts";
import { within } from "./deadline.ts";
import { logOutput } from "./log-output.ts";
import type { Log } from "./log.ts";
import { safeMessage } from "./redact.ts";
import { isSupervised } from "./supervised.ts";

/** A service can't start, and the message tells its operator all: it is shown as it is. */
export class StartError extends Error {}

/** Runs `start`; a failure ends the process with status 1 and one message for the operator. */
export async function runMain(start: () => Promise<void>): Promise<void> {
  try {
    await start();
  } catch (error) {
    const parent = error instanceof Error && error.cause !== undefined ? ` (${reason(error.cause)})` : "";
    const message = error instanceof StartError ? error.message : `Cannot start: ${reason(error)}${parent}`;
    // Not what waits for its reader: the exit gives it a moment.
    logOutput(2, () => "").write(`${safeMessage(message)}\n`);
    process.exit(1);
  }
}

/** Ctrl-C reaches a service under `bun run` twice: from the terminal and passed on by `bun run`. Milliseconds. */
const SAME_SIGNAL_MS = 1000;

/** Steps that undo what was started. */
export interface Shutdown {
  /** Adds a step; steps run in reverse order. */
  add(step: () => unknown): void;
  /** Runs the steps that have been added. */
  run(): Promise<void>;
}

/** Calls `act` at SIGTERM and SIGINT; signals that come within a second are one. */
export function onStopSignal(act: (signal: string) => void): void {
  let since = -Infinity;
  const heard = (signal: string) => {
    if (performance.now() - since <= SAME_SIGNAL_MS) return;
    since = performance.now();
    act(signal);
  };
  process.on("SIGTERM", heard);
  process.on("SIGINT", heard);
}

/**
 * What is undone at SIGTERM or SIGINT, exit code 0 then. Made before anything starts, so that a signal that comes early
 * ends what there is. Another signal later exits at once, but not under a supervisor: a process that leaves to its
 * successor hears the signals for the end of all as well (Ctrl-C, systemd), and keeps its time.
 */
export function shutdownOnSignal(log: Log): Shutdown {
  const shutdown = createShutdown();
  let stopping = false;
  onStopSignal((signal) => {
    if (stopping) return isSupervised() ? undefined : process.exit(130);
    stopping = true;
    log.info({ signal }, "stopping");
    shutdown.run().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ reason: reason(error) }, "stopping failed");
        process.exit(1);
      },
    );
  });
  return shutdown;
}

export function createShutdown(): Shutdown {
  const steps: (() => unknown)[] = [];
  return {
    add: (step) => void steps.push(step),
    async run() {
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) await step();
    },
  };
}

/** How long an API's running calls may take to end at a stop. Milliseconds. */
const API_STOP_MS = 5000;

/** Whoever has just had an answer may have sent the next call already. Milliseconds. */
const API_QUIET_MS = 200;

/**
 * Stops an API server: running calls may end for a while, then what is left is closed. `calls`: how many are under way; a browser's
 * idle connections, for which `Bun.serve` waits, are nobody's call.
 */
export async function stopServer(
  server: { stop(closeActive?: boolean): Promise<void> },
  calls: () => number,
): Promise<void> {
  let isOver = false;
  const finished = server.stop(false).then(() => void (isOver = true));
  const quiet = async () => {
    for (let since = performance.now(); !isOver && performance.now() - since < API_QUIET_MS; await Bun.sleep(20))
      if (calls() > 0) since = performance.now();
  };
  await within(API_STOP_MS, Promise.race([finished, quiet()]));
  isOver = true;
  await server.stop(true);
}

/** One bad callback must not end everybody's connections: it is logged, and the service goes on. */
export function surviveStrayErrors(log: Log): void {
  const report = (error: unknown) => {
    log.error({ reason: reason(error), stack: error instanceof Error ? error.stack : undefined }, "unexpected error");
  };
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
}

/** The proxy talks to kernels and coordinators directly; Bun's fetch would follow these variables. */
export function ignoreProxySettings(): void {
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]) {
    delete process.env[name];
    delete process.env[name.toLowerCase()];
  }
}
