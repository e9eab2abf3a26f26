/**
 * The supervisor's process: `bun run supervise [--worker FILE] [--ready-within SECONDS] [the worker's own arguments]`.
 * SIGHUP replaces the worker without a gap; SIGTERM ends it. Signals and processes only: what is kept running is in
 * supervisor.ts, and in fleet.ts where a worker has several processes.
 */
import { join } from "node:path";
import { withHttpLimits } from "../shared/runtime/limits.ts";
import { reason } from "../shared/failure.ts";
import { createLog, type Log } from "../shared/runtime/log.ts";
import { onStopSignal, runMain } from "../shared/runtime/process.ts";
import { PREDECESSOR, stopTimeOf } from "../shared/runtime/supervised.ts";
import { envName } from "../shared/config/load.ts";
import { WORKER_ENV } from "./config.ts";
import { openInodes } from "./lanes/inodes.ts";
import { LANE } from "./lanes/lane.ts";
import { fromProcess, type ToProcess } from "./lanes/messages.ts";
import { startFleet, type Fleet } from "./supervise/fleet.ts";
import { createGathering } from "./supervise/gathering.ts";
import { readOptions, SUPERVISE_HELP, type Options } from "./supervise/options.ts";
import { wantedProcesses } from "./supervise/processes.ts";
import { startSupervisor, type Child, type Supervisor } from "./supervise/supervisor.ts";

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
  const count = wantedProcesses(options.args, process.env);
  const supervisor = count === 1 ? superviseOne(options, log) : superviseMany(options, count, log);
  process.on("SIGHUP", () => supervisor.replace());
  onStopSignal((signal) => {
    log.info({ signal }, "stopping");
    supervisor.stop();
  });
  process.exit(await supervisor.done);
});

// --- internal ---

function superviseOne(options: Options, log: Log): Pick<Supervisor, "replace" | "stop" | "done"> {
  const start = (predecessor: number | null) => spawn(options, predecessor);
  return startSupervisor({ start, log, readyMs: options.readyMs });
}

function superviseMany(options: Options, count: number, log: Log): Fleet {
  const inodes = openInodes();
  const tellers = new Map<number, (message: ToProcess) => void>();
  const gathering = createGathering((pid, message) => tellers.get(pid)?.(message));
  log.info({ processes: count }, "starting several worker processes; the others follow when the first one serves");

  function start(number: number, predecessor: number | null): Child {
    const heard = (message: unknown) => hear(number, child.pid, message);
    const child = spawn(options, predecessor, { env: { [LANE]: `${number}/${count}` }, inodes, heard });
    tellers.set(child.pid, child.tell);
    void child.exited.then(() => {
      tellers.delete(child.pid);
      // Where it stood in the kernel's tables another one stands now.
      for (const tell of tellers.values()) tell({ lane: "ended" });
    });
    return child;
  }

  function hear(number: number, pid: number, message: unknown): void {
    const said = fromProcess(message);
    if (said === null) return;
    switch (said.lane) {
      case "replace":
        // Of one that leaves the next one has come already.
        if (fleet.keeps(pid)) fleet.replaceOne(number);
        return;
      case "reported":
        return gathering.reported(said.id, said.figures);
      case "gather":
        return void gathering.gather(fleet.serving()).then((all) => {
          tellers.get(pid)?.({ lane: "figures", id: said.id, all });
        });
    }
  }

  const fleet = startFleet({
    count,
    log,
    supervise: (number, hasServed) =>
      startSupervisor({
        start: (predecessor) => start(number, predecessor),
        log: log.child({ process: number }),
        readyMs: options.readyMs,
        hasServed,
      }),
  });
  return fleet;
}

/** What a process of several is given beside. */
interface LaneOptions {
  env: Record<string, string>;
  /** Descriptor of the file in which all note their listeners. */
  inodes: number;
  heard: (message: unknown) => void;
}

function spawn(
  { worker, args }: Options,
  predecessor: number | null,
  lane: LaneOptions | null = null,
): Child & { tell: (message: ToProcess) => void } {
  const { promise: ready, resolve } = Promise.withResolvers<number>();
  // With the limits from the start: a worker that begins anew to get them would lose its line to us.
  const { flags, env } = withHttpLimits(process.env);
  const child = Bun.spawn([process.execPath, ...flags, worker, ...args], {
    env: {
      [SHARE_PORTS]: "true",
      ...env,
      ...lane?.env,
      [PREDECESSOR]: predecessor === null ? undefined : String(predecessor),
    },
    stdio: ["ignore", "inherit", "inherit", ...(lane === null ? [] : [lane.inodes])],
    ipc(message) {
      const stopMs = stopTimeOf(message);
      if (stopMs !== null) resolve(stopMs);
      else lane?.heard(message);
    },
  });
  return {
    pid: child.pid,
    ready,
    exited: child.exited,
    kill: (signal) => child.kill(signal),
    tell(message) {
      try {
        child.send(message);
      } catch {
        // It has just ended: nobody is there to hear it.
      }
    },
  };
}
