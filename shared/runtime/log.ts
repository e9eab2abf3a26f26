/**
 * One JSON line per event on standard output; lines for people when that is a terminal. Values are data, never format strings.
 * Every line leaves through `write` here: redacted (redact.ts), and without waiting for whoever reads it (log-output.ts).
 */
import { isatty } from "node:tty";
import { pino, type Logger } from "pino";
import { prettyFactory } from "pino-pretty";
import { isRecord } from "../values.ts";
import { logOutput } from "./log-output.ts";
import { VERSION } from "./version.ts";
import { escapeControls, escapeUnseen, safeRecord } from "./redact.ts";

export type Log = Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warning", "warn", "error", "critical", "fatal"] as const;

/** Creates a service's log. `level` also takes the original's names (`WARNING`, `CRITICAL`). */
export function createLog(service: string, level: string): Log {
  const options = {
    level: pinoLevel(level),
    base: { service, version: VERSION, pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const form = isatty(1) ? lineForPeople : jsonLine;
  const output = logOutput(1, (dropped) => form(droppedRecord(service, dropped)));
  return pino(options, { write: (line: string) => output.write(form(recordOf(line))) });
}

/** A log that says nothing, for embedding. */
export function silentLog(): Log {
  return pino({ level: "silent" });
}

// --- internal ---

function pinoLevel(level: string): string {
  const name = level.toLowerCase();
  if (name === "warning") return "warn";
  return name === "critical" ? "fatal" : name;
}

function recordOf(line: string): Record<string, unknown> {
  const record: unknown = JSON.parse(line);
  return safeRecord(isRecord(record) ? record : { msg: line });
}

function droppedRecord(service: string, dropped: number): Record<string, unknown> {
  const [time, lines] = [new Date().toISOString(), dropped === 1 ? "1 line was" : `${dropped} lines were`];
  return {
    level: "warn",
    time,
    service,
    version: VERSION,
    pid: process.pid,
    dropped,
    msg: `${lines} dropped here: whoever reads this log was too slow`,
  };
}

function jsonLine(record: Record<string, unknown>): string {
  return `${escapeUnseen(JSON.stringify(record))}\n`;
}

const pretty = prettyFactory({ ignore: "service,version,pid", translateTime: "SYS:HH:MM:ss.l" });

/** The message is the one text that stands there as it is; all others are in JSON. */
function lineForPeople(record: Record<string, unknown>): string {
  const { msg } = record;
  return escapeUnseen(pretty(typeof msg === "string" ? { ...record, msg: escapeControls(msg) } : record));
}
