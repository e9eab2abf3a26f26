/**
 * How the body of an HTTP/1 message is told from what follows it (RFC 9112 §6.3), and when its connection goes on (RFC 9112 §9.3).
 * Two tellings that could be read in two ways are refused. Pure.
 */
import { withoutSpace, type FieldLines } from "./field-lines.ts";
import { BadHead, type AnswerHead, type RequestHead } from "./head.ts";

export type Framing =
  | { kind: "none" }
  | { kind: "length"; length: number }
  | { kind: "chunked" }
  /** Of an answer: the body ends with the connection. */
  | { kind: "close" };

const NONE: Framing = { kind: "none" };

/** Throws BadHead (RFC 9112 §6.1, §6.3: 3, 5, 6). */
export function requestFraming({ version, lines }: Pick<RequestHead, "version" | "lines">): Framing {
  const coding = codingOf(lines);
  const length = lengthOf(lines);
  if (coding === null) return length === null ? NONE : { kind: "length", length };
  if (version === "1.0") throw new BadHead("Transfer-Encoding: HTTP/1.0 has none");
  if (length !== null) throw new BadHead("Content-Length: wanted none beside Transfer-Encoding");
  if (coding !== "chunked") throw new BadHead("Transfer-Encoding: wanted chunked alone");
  return { kind: "chunked" };
}

/**
 * `method`: of the request that is answered. 205 has no content (RFC 9110 §15.3.6), also where no length says so. A length beside chunks says nothing, and is not passed on (RFC 9112 §6.3: 3).
 * Throws BadHead (RFC 9112 §6.3: 1, 2, 4, 5, 8).
 */
export function answerFraming({ status, lines }: Pick<AnswerHead, "status" | "lines">, method: string): Framing {
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return NONE;
  const coding = codingOf(lines);
  const length = coding === null ? lengthOf(lines) : null;
  if (status === 205 && coding === null && length === null) return NONE;
  if (coding === null) return length === null ? { kind: "close" } : { kind: "length", length };
  if (coding !== "chunked") throw new BadHead("Transfer-Encoding: wanted chunked alone");
  return { kind: "chunked" };
}

/** Whether the connection goes on after this message (RFC 9112 §9.3). */
export function persists({ version, lines }: Pick<RequestHead, "version" | "lines">): boolean {
  const connection = lines.get("connection");
  if (connection === null) return version === "1.1";
  const options = connection
    .toLowerCase()
    .split(",")
    .map((option) => withoutSpace(option));
  return !options.includes("close") && (version === "1.1" || options.includes("keep-alive"));
}

// --- internal ---

/** In lower case; null for none. */
function codingOf(lines: FieldLines): string | null {
  return lines.get("transfer-encoding")?.toLowerCase() ?? null;
}

/** Two lines are refused, also when they agree: another reader may take the other one. */
function lengthOf(lines: FieldLines): number | null {
  const given = lines.get("content-length");
  if (given === null) return null;
  if (!/^[0-9]{1,15}$/.test(given)) throw new BadHead("Content-Length: wanted one number of at most 15 digits");
  return Number(given);
}
