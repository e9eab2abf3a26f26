/** What a row of the hostile answers says: the bytes of an app, and what a client has to see of them. */
import type { DeviationName } from "../../contract/engines.ts";

export type Seen =
  /** Nothing of it: 502. */
  | { kind: "refused" }
  /** 502, or as much of it as was an answer, visibly broken off. */
  | { kind: "torn" }
  /** All of it, and nothing else. */
  | { kind: "whole"; status: number; body: string };

export interface AnswerRow {
  name: string;
  /** Where RFC 9110, 9112 or another one demands the outcome, or leaves it to us. */
  rfc: string;
  method?: string;
  bytes: string;
  /** What the app does behind them. */
  ending?: "keep" | "fin" | "reset";
  seen: Seen;
  /** What a client of `Bun.serve` sees otherwise: a deviation by its name, or what the RFC allows as well. */
  serve?: { seen: Seen } & ({ deviation: DeviationName } | { because: string });
  /** More bytes, which come when the client has its answer. */
  late?: string;
  /** Names that the client may not find in the head, whatever the app has said. */
  lacks?: string[];
}

export const refused: Seen = { kind: "refused" };
export const torn: Seen = { kind: "torn" };

export function whole(body = "hello", status = 200): Seen {
  return { kind: "whole", status, body };
}

/** An answer with these header lines, each with its CRLF. */
export function ok(lines: string, body = "hello", status = "200 OK"): string {
  return `HTTP/1.1 ${status}\r\n${lines}\r\n${body}`;
}

/** A whole answer that nobody has asked for. */
export const STRAY = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Stray: 1\r\n\r\nSTRAY";
