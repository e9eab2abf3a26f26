/** What a service's process does around the service: start-up messages, signals, unexpected errors. Called by the main.ts files. */
import { ConfigError } from "./config/load.ts";
import { reason } from "./failure.ts";
import type { Log } from "./log.ts";

/** Runs `start`; a failure ends the process with status 1 and one message for the operator. */
export async function runMain(start: () => Promise<void>): Promise<void> {
  try {
    await start();
  } catch (error) {
    const parent = error instanceof Error && error.cause !== undefined ? ` (${reason(error.cause)})` : "";
    process.stderr.write(
      `${error instanceof ConfigError ? error.message : `Cannot start: ${reason(error)}${parent}`}\n`,
    );
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

/**
 * What is undone at SIGTERM or SIGINT, exit code 0 then. Made before anything starts, so that a signal that comes early
 * ends what there is. Another signal later exits at once.
 */
export function shutdownOnSignal(log: Log): Shutdown {
  const shutdown = createShutdown();
  let since: number | null = null;
  const onSignal = (signal: string) => {
    if (since !== null) {
      if (performance.now() - since > SAME_SIGNAL_MS) process.exit(130);
      return;
    }
    since = performance.now();
    log.info({ signal }, "stopping");
    shutdown.run().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ reason: reason(error) }, "stopping failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return shutdown;
}

/** What a service says to the supervisor that started it: it serves. */
export const READY = "ready";

/** Says so, where there is a supervisor. */
export function tellSupervisor(): void {
  process.send?.(READY);
}

/** A service that nobody supervises any more would hold its ports against the next supervisor's: it ends in order. */
export function endWithSupervisor(): void {
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
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

/** Stops an API server: running calls may end for a while, then what is left is closed. */
export async function stopServer(server: { stop(closeActive?: boolean): Promise<void> }): Promise<void> {
  const finished = server.stop(false);
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, API_STOP_MS);
  await Promise.race([finished, late.promise]);
  clearTimeout(timer);
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
