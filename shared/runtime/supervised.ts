/** What a service and the supervisor that started it say to each other. Called by the worker's run.ts and supervise.ts. */
import { isRecord } from "../values.ts";
import type { Log } from "./log.ts";

/** The environment variable with the process id of the one that is taken over from. */
export const PREDECESSOR = "APP_PROXY_PREDECESSOR";

/** True while a supervisor, which has started this process, is there. */
export function isSupervised(): boolean {
  return process.connected;
}

/** Says that this service serves, and how long its stop may take. */
export function tellSupervisor(stopMs: number): void {
  process.send?.({ ready: true, stop_ms: stopMs });
}

/** What `tellSupervisor` says, as the supervisor hears it: how long a stop may take; null when it is something else. */
export function stopTimeOf(message: unknown): number | null {
  if (!isRecord(message) || message["ready"] !== true) return null;
  const { stop_ms: ms } = message;
  return typeof ms === "number" ? ms : 0;
}

/** The process that this one takes over from, as the supervisor tells it; null when there is none. */
export function predecessorOf(env: Record<string, string | undefined>): number | null {
  const pid = Number(env[PREDECESSOR] ?? "");
  return Number.isInteger(pid) && pid > 0 ? pid : null;
}

/**
 * A service that nobody supervises any more would hold its ports against the next supervisor's: it ends in order. SIGHUP
 * is the supervisor's; one that reaches all processes of a unit would end the service by its default action.
 */
export function followSupervisor(log: Log): void {
  if (!isSupervised()) return;
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  process.on("SIGHUP", () => log.warn("SIGHUP ignored: send it to the supervisor, which replaces this process"));
}
