/**
 * One JSON line per event on standard output; lines for people when that is a terminal.
 * Values are data, never format strings; control characters are escaped by JSON.
 */
import { pino, type Logger } from "pino";
import pretty from "pino-pretty";

export type Log = Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warning", "warn", "error", "critical", "fatal"] as const;

/** Creates a service's log. `level` also takes the original's names (`WARNING`, `CRITICAL`). */
export function createLog(service: string, level: string): Log {
  const options = {
    level: pinoLevel(level),
    base: { service },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!process.stdout.isTTY) return pino(options, pino.destination({ fd: 1, sync: true }));
  return pino(options, pretty({ sync: true, ignore: "service", translateTime: "SYS:HH:MM:ss.l" }));
}

/** A log that says nothing, for embedding. */
export function silentLog(): Log {
  return pino({ level: "silent" });
}

/** The path and query of a URL with the values of `token`, `t` and `auth` hidden. */
export function redactUrl(url: string): string {
  return url
    .replace(/([?&](?:token|t|auth|permit_key)=)[^&#]*/g, "$1[redacted]")
    .replace(/(\/v2\/proxy\/)[0-9a-f-]{36}\//i, "$1[redacted]/");
}

// --- internal ---

function pinoLevel(level: string): string {
  const name = level.toLowerCase();
  if (name === "warning") return "warn";
  return name === "critical" ? "fatal" : name;
}
