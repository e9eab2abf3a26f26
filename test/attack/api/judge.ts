/** What is wrong with an answer: with what the document promises, with the table of failures, with what is nobody's to know. */
import { FAILURES, type FailureKind } from "../../../shared/failure.ts";
import { isRecord } from "../../../shared/values.ts";
import type { Attempt } from "./attempt.ts";
import type { Promised } from "./document.ts";
import { faultsIn, type Schema } from "./schema.ts";

/** An answer as it stood on the wire; null when the connection was ended without one. */
export interface Answered {
  status: number;
  header: (name: string) => string | null;
  head: string;
  body: string;
  isWhole: boolean;
}

/** Each in a sentence. */
export function faultsOf(attempt: Attempt, answered: Answered | null, promised: Promised, schemas: Record<string, Schema>): string[] {
  if (answered === null) return attempt.isBroken ? [] : ["there was no answer"];
  const { status, body, isWhole } = answered;
  const isOwn = !attempt.isElsewhere && !attempt.isBroken;
  const problem = problemIn(answered);
  return [
    ...(isWhole ? [] : ["the answer is not whole"]),
    ...(status >= 500 && !mayBe(status, attempt, problem) ? [`the status is ${status}: ${body.slice(0, 200)}`] : []),
    ...(problem === null ? [] : problemFaults(status, problem, answered)),
    ...(isOwn ? ownFaults(answered, promised, schemas, attempt.method) : elsewhereFaults(answered, attempt)),
    ...(attempt.isStranger && isOwn ? strangerFaults(status) : []),
    ...attempt.secrets.filter((secret) => tells(answered, secret)).map((secret) => `the answer has ${secret.slice(0, 40)}`),
    ...(status < 400 ? [] : attempt.hidden.filter((value) => tells(answered, value)).map((value) => `the refusal has ${value.slice(0, 40)}`)),
    ...(attempt.wrong !== null && isOwn && !attempt.isStranger ? acceptanceFaults(attempt.wrong, answered, problem) : []),
  ];
} // prettier-ignore

// --- internal ---

type Problem = Record<string, unknown>;

/** Whose fault a 503 is, is documented by its type. */
const UNAVAILABLE: readonly FailureKind[] = ["service-unavailable", "appproxy/worker-not-available"];
const PREFIX = "https://api.backend.ai/probs/";
/** Before anybody is asked for a secret: a body that is too long is not read. */
const REFUSED = new Set([401, 413]);

function problemIn({ header, body }: Answered): Problem | null {
  return header("content-type")?.startsWith("application/problem+json") === true && body !== "" ? (JSON.parse(body) as Problem) : null; // prettier-ignore
}

function msgOf(problem: Problem | null): string {
  const msg = problem?.["msg"];
  return typeof msg === "string" ? msg : "";
}

function kindOf(problem: Problem): FailureKind | null {
  const name = String(problem["type"]).replace(PREFIX, "");
  return Object.hasOwn(FAILURES, name) ? (name as FailureKind) : null;
}

function mayBe(status: number, { isBroken, isElsewhere, path }: Attempt, problem: Problem | null): boolean {
  if (isBroken && (status === 501 || status === 505)) return true;
  // A coordinator that can create nothing says so as a health answer.
  if (status === 503 && problem === null) return isElsewhere || path.startsWith("/health/readyz");
  const kind = problem === null ? null : kindOf(problem);
  return status === 503 && kind !== null && UNAVAILABLE.includes(kind);
}

/** A problem document is as the table of failures has it. */
function problemFaults(status: number, problem: Problem, { header }: Answered): string[] {
  const kind = kindOf(problem);
  if (kind === null) return [`no such problem: ${String(problem["type"])}`];
  const { errorCode } = FAILURES[kind];
  return [
    ...(FAILURES[kind].status === status ? [] : [`${kind} came with ${status}`]),
    ...(problem["error_code"] === errorCode ? [] : [`${kind} came with the code ${String(problem["error_code"])}`]),
    ...(header("cache-control") === "no-store" ? [] : [`${kind} may be stored`]),
    ...(status === 400 && msgOf(problem) === "" ? [`${kind} does not say what was wrong`] : []),
  ];
}

/** Status, content type and body are those that the document has for this call. */
function ownFaults({ status, header, body }: Answered, promised: Promised, schemas: Record<string, Schema>, method: string): string[] {
  const types = promised.answers.get(status);
  if (types === undefined) return [`the status ${status} is not documented: ${body.slice(0, 200)}`];
  const type = header("content-type")?.split(";", 1)[0] ?? null;
  if (types.size === 0) return body === "" ? [] : [`${status} has a body of ${String(type)}`];
  const schema = type === null ? undefined : types.get(type);
  if (schema === undefined) return [`${status} comes as ${String(type)}, documented are ${[...types.keys()].join()}`];
  if (method === "HEAD" || type?.endsWith("json") !== true) return [];
  return faultsIn(JSON.parse(body), schema, schemas).slice(0, 3).map((fault) => `the answer: ${fault}`);
} // prettier-ignore

/** Nobody knows which call it is; but who has a method wrong is told the right ones (RFC 9110 §15.5.6). */
function elsewhereFaults({ status, header }: Answered, { isBroken }: Attempt): string[] {
  return status === 405 && header("allow") === null && !isBroken ? ["405 does not say which methods there are"] : [];
}

function strangerFaults(status: number): string[] {
  return REFUSED.has(status) ? [] : [`a stranger got ${status}`];
}

/** Of a body that can't be read, or nests deeper than it may, nothing else is looked at. */
const UNREADABLE = /^body: wanted (JSON, got something else|at most 32 levels of nesting)$/;

/** What the document does not allow is refused, with the name of what was wrong; of many entries, that entry is. */
function acceptanceFaults(field: string, { status, body }: Answered, problem: Problem | null): string[] {
  if (status === 413) return [];
  const said = status === 200 ? entryErrorsIn(body) : status === 400 ? msgOf(problem) : null;
  if (status === 400 && problem === null) return []; // a page for people
  if (said === null) return [`${field} is wrong, and the status ${status}`];
  return said.includes(field) || UNREADABLE.test(said) ? [] : [`${field} is wrong, and told was: ${said || "nothing"}`]; // prettier-ignore
}

function entryErrorsIn(body: string): string | null {
  const answer: unknown = JSON.parse(body);
  const entries = isRecord(answer) && Array.isArray(answer["endpoints"]) ? (answer["endpoints"] as unknown[]) : [];
  const errors = entries.filter(isRecord).flatMap(({ success, error }) => (success === false ? [String(error)] : []));
  return errors.length === 0 ? null : errors.join();
}

function tells({ head, body }: Answered, secret: string): boolean {
  return head.includes(secret) || body.includes(secret);
}
