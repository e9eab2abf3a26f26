/**
 * The supervisor's process: `bun run supervise [--worker FILE] [--ready-within SECONDS] [the worker's own arguments]`.
 * SIGHUP replaces the worker without a gap; SIGTERM ends it. Signals only: what it keeps running is in supervisor.ts.
 */
import { join } from "node:path";
import { withHttpLimits } from "../shared/runtime/limits.ts";
import { reason } from "../shared/failure.ts";
import { createLog } from "../shared/runtime/log.ts";
import { onStopSignal, runMain } from "../shared/runtime/process.ts";
import { PREDECESSOR, stopTimeOf } from "../shared/runtime/supervised.ts";
import { envName } from "../shared/config/load.ts";
import { WORKER_ENV } from "./config.ts";
import { readOptions, SUPERVISE_HELP, type Options } from "./supervise/options.ts";
import { startSupervisor, type Child } from "./supervise/supervisor.ts";

const SHARE_PORTS = envName(WORKER_ENV, ["proxy_worker", "share_ports"]);

await runMain(async () => {
  const options = readOptions(process.argv.slice(2), join(import.meta.dir, "main.ts"));
  if (options === null) return void process.stdout.write(SUPERVISE_HELP);
  const log = createLog("worker-supervisor", "info");
  // What this does not know how to go on from is for whoever started it; the worker ends with it, in order.
  process.on("uncaughtException", (error) => {
    log.fatal({ reason: reason(error), stack: error.stack }, "unexpected error; the supervisor ends");
    process.exit(1);
  });
  const supervisor = startSupervisor({
    start: (predecessor) => spawn(options, predecessor),
    log,
    readyMs: options.readyMs,
  });
  process.on("SIGHUP", () => supervisor.replace());
  onStopSignal((signal) => {
    log.info({ signal }, "stopping");
    supervisor.stop();
  });
  process.exit(await supervisor.done);
});

// --- internal ---

function spawn({ worker, args }: Options, predecessor: number | null): Child {
  const { promise: ready, resolve } = Promise.withResolvers<number>();
  // With the limits from the start: a worker that begins anew to get them would lose its line to us.
  const { flags, env } = withHttpLimits(process.env);
  const child = Bun.spawn([process.execPath, ...flags, worker, ...args], {
    env: { [SHARE_PORTS]: "true", ...env, [PREDECESSOR]: predecessor === null ? undefined : String(predecessor) },
    stdio: ["ignore", "inherit", "inherit"],
    ipc(message) {
      const stopMs = stopTimeOf(message);
      if (stopMs !== null) resolve(stopMs);
    },
  });
  return { pid: child.pid, ready, exited: child.exited, kill: (signal) => child.kill(signal) };
}
