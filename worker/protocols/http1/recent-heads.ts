/**
 * Heads that came lately, for the next ones of the same text: a client on a kept connection repeats its header lines with each
 * request, and an app its answer. What is found is what parsing would give, as texts are compared byte for byte. Bounded in
 * number, and in what is kept of each.
 */
import { Recent } from "../../../shared/runtime/recent.ts";
import type { FieldLines } from "./field-lines.ts";
import { parseAnswer, parseFields, type AnswerHead } from "./head.ts";

/** Of each kind; twice as many at most. */
const MAX_KEPT = 256;
/** Longer ones, and those of more lines, are read anew. Bytes. */
const MAX_TEXT = 4096;
const MAX_LINES = 64;

const fields = new Recent<FieldLines>(MAX_KEPT);
const answers = new Recent<AnswerHead>(MAX_KEPT);

/** The field lines of a request, as `parseFields`. */
export function recentFields(text: string): FieldLines {
  const known = fields.get(text);
  if (known !== undefined) return known;
  const lines = parseFields(text);
  if (mayKeep(text, lines)) fields.set(text, lines.kept());
  return lines;
}

/** An answer's head, as `parseAnswer`. */
export function recentAnswer(text: string): AnswerHead {
  const known = answers.get(text);
  if (known !== undefined) return known;
  const head = parseAnswer(text);
  if (mayKeep(text, head.lines)) {
    head.lines.kept();
    answers.set(text, head);
  }
  return head;
}

// --- internal ---

/** Those of a WebSocket's handshake never come again, and would drive out those that do. */
function mayKeep(text: string, { names }: FieldLines): boolean {
  return text.length <= MAX_TEXT && names.length <= MAX_LINES && !names.includes("upgrade");
}
