/**
 * What changes in the header lines of an app's answer on their way to the client: what ends at the worker, what reaches
 * further than the circuit (answer-rules.ts), cookies, and what is added. Pure, once an answer; an engine carries it out.
 */
import type { AnswerLines, HeaderEdits } from "../seam/engine.ts";
import { endsHere, guardSetCookie } from "./headers.ts";

/** By name in lower case: what may pass of a header that reaches further than its circuit. Null drops it. */
export type AnswerRules = ReadonlyMap<string, (value: string, host: string) => string | null>;

export interface AnswerWishes {
  /** Lines to add. */
  add: readonly [name: string, value: string][];
  /** Added where the answer has no Access-Control-Allow-Origin of the app's. */
  cors: readonly [name: string, value: string][];
  /** Added where the answer has no Cross-Origin-Resource-Policy of the app's, and is no 304. */
  policy: readonly [name: string, value: string][];
  /**
   * Added where the app does not forbid frames by X-Frame-Options (of a policy that speaks of frames, browsers hear that alone: CSP 3),
   * and to a 304 only beside the app's own policy.
   */
  frames: readonly [name: string, value: string][];
  rules: AnswerRules;
  /** The circuit's host, as the client names it. */
  host: string;
}

type Edits = { remove: string[]; set: [string, string][]; add: [string, string][] };

export function answerEdits(
  answer: AnswerLines,
  status: number,
  { add, cors, policy, frames, rules, host }: AnswerWishes,
): HeaderEdits {
  const edits: Edits = { remove: [], set: [], add: [] };
  const ends = endsHere(answer.get("connection"));
  let hasCookies = false;
  let hasCors = false;
  let hasPolicy = false;
  for (const name of answer.keys()) {
    if (ends(name)) edits.remove.push(name);
    else if (name === "set-cookie") hasCookies = true;
    else if (name === "access-control-allow-origin") hasCors = true;
    else if (name === "cross-origin-resource-policy") hasPolicy = true;
    else if (rules.has(name)) keepWithin(name, answer.get(name) ?? "", rules, host, edits);
  }
  if (hasCookies) guardCookies(answer.getSetCookie(), edits);
  edits.add.push(...add);
  if (!hasCors) edits.add.push(...cors);
  if (!hasPolicy && status !== UPDATE) edits.add.push(...policy);
  if (frames.length > 0 && mayHaveFrames(answer, status, ends)) edits.add.push(...frames);
  return edits;
}

// --- internal ---

/** What a 304 says takes the place of what a cache has (RFC 9111 §3.2), the app's own too. */
const UPDATE = 304;

/** Anything else is none to browsers. */
const FORBIDS_FRAMES = /(?:^|,)[ \t]*(?:deny|sameorigin)[ \t]*(?:,|$)/i;

function mayHaveFrames(answer: AnswerLines, status: number, ends: (name: string) => boolean): boolean {
  const passed = (name: string) => (ends(name) ? null : answer.get(name));
  if (FORBIDS_FRAMES.test(passed("x-frame-options") ?? "")) return false;
  return status !== UPDATE || passed("content-security-policy") !== null;
}

/** What of a header stays within the circuit. */
function keepWithin(name: string, value: string, rules: AnswerRules, host: string, edits: Edits): void {
  const passed = rules.get(name)?.(value, host) ?? null;
  if (passed === null) edits.remove.push(name);
  else if (passed !== value) edits.set.push([name, passed]);
}

/** Lines of this name can't be joined: all are written anew where one of them has to change. */
function guardCookies(lines: readonly string[], edits: Edits): void {
  const passed = lines.map(guardSetCookie);
  if (passed.every((line, at) => line === lines[at])) return;
  edits.remove.push("set-cookie");
  for (const line of passed) if (line !== null) edits.add.push(["set-cookie", line]);
}
