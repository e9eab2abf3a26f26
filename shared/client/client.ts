/**
 * A typed client of the coordinator's API: `const coordinator = createClient(operations, { baseUrl, secret })`, then
 * `await coordinator.syncEndpoint({ endpoint_id, body })`. Answers are checked against the schemas that the coordinator
 * documents. It repeats nothing: every call is idempotent, so the caller may. Used by the worker and the tests.
 */
import type { Static } from "@sinclair/typebox";
import { TypeCompiler, type TypeCheck } from "@sinclair/typebox/compiler";
import { isRecord } from "../values.ts";
import { reason, type Problem } from "../failure.ts";
import type { Input, Operation } from "../protocol/operations.ts";
import "../protocol/schema/formats.ts";

export interface ClientOptions {
  /** The coordinator's URL, with or without a slash at the end. */
  baseUrl: string;
  /**
   * The api_secret; null for calls that need none. Of several the first that the coordinator takes: while secrets rotate, it
   * may not know the newest yet.
   */
  secret: string | null | readonly string[];
  /** Milliseconds until a call is given up; 30 s. A creation may take the coordinator 15 s. */
  timeout?: number;
  /** Headers of every call, such as X-Backend-Request-ID. */
  headers?: Record<string, string>;
  /** False: the coordinator's certificate is not verified, as with one that is self-signed. */
  verifyTls?: boolean;
  /** What is made of an answer before it is checked: for older coordinators. */
  read?: (answer: unknown) => unknown;
  /** Is told of each good answer with a `Date`. */
  dated?: (answer: DatedAnswer) => void;
}

/** The `Date` of an answer, epoch milliseconds, and when it was asked for and came by performance.now(). */
export interface DatedAnswer {
  date: number;
  sent: number;
  received: number;
}

/** A call that has no good answer. */
export class CallFailed extends Error {
  /** Of the answer; null when there was none, or none that could be understood. */
  readonly status: number | null;
  readonly problem: Problem | null;

  constructor(message: string, status: number | null, problem: Problem | null = null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CallFailed";
    this.status = status;
    this.problem = problem;
  }
}

type Operations = Record<string, Operation>;

/** A method for each operation. They reject with CallFailed. */
export type Client<All extends Operations> = {
  [Name in keyof All]: (
    input: Input<All[Name]>,
    headers?: Record<string, string>,
  ) => Promise<Static<All[Name]["answer"]>>;
};

/** Makes a client for some operations, or for all: `operations` in operations.ts. */
export function createClient<All extends Operations>(all: All, options: ClientOptions): Client<All> {
  const secrets = createSecrets(options.secret);
  const methods = Object.entries(all).map(([name, operation]) => {
    let check: TypeCheck<Operation["answer"]> | null = null;
    const call = async (input: Given, headers: Record<string, string> = {}) => {
      const answer = await send(operation, input, { ...options, secrets }, headers);
      check ??= TypeCompiler.Compile(operation.answer);
      if (check.Check(answer)) return answer;
      const fault = check.Errors(answer).First();
      const name = nameOf(operation, options);
      throw new CallFailed(`${name} answered something else: ${fault?.path} ${fault?.message}`, null);
    };
    return [name, call] as const;
  });
  return Object.fromEntries(methods) as unknown as Client<All>;
}

// --- internal ---

const TIMEOUT_MS = 30_000;

/** The secrets of a client, and which of them was taken last. */
interface Secrets {
  /** They in the order in which they are tried. */
  inTurn(): (string | null)[];
  taken(secret: string | null): void;
}

type Settings = ClientOptions & { secrets: Secrets };

function createSecrets(given: ClientOptions["secret"]): Secrets {
  const all = [given].flat();
  let first = all[0] ?? null;
  return {
    inTurn: () => [first, ...all.filter((secret) => secret !== first)],
    taken: (secret) => void (first = secret),
  };
}

type Given = Record<string, unknown> & { query?: Record<string, unknown>; body?: unknown };

async function send(
  operation: Operation,
  input: Given,
  options: Settings,
  headers: Record<string, string>,
): Promise<unknown> {
  const url = baseOf(options) + fill(operation.path, input) + queryOf(input.query);
  const { status, text } = await exchange(url, operation, input.body, options, headers);
  const value = read(text);
  if (status >= 200 && status < 300) return options.read === undefined ? value : options.read(value);
  const problem = isProblem(value) ? value : null;
  // Other text may show what was sent, the secret too.
  const said = problem === null ? "no problem document" : [problem.title, problem.msg].filter(Boolean).join(" ");
  throw new CallFailed(`${nameOf(operation, options)} answered ${status}: ${said}`, status, problem);
}

interface Exchanged {
  status: number;
  text: string;
}

/** The answer to the first secret that is taken; the first one's refusal, when none is. */
async function exchange(
  url: string,
  operation: Operation,
  body: unknown,
  options: Settings,
  headers: Record<string, string>,
): Promise<Exchanged> {
  let refusal: Exchanged | null = null;
  for (const secret of options.secrets.inTurn()) {
    const answer = await exchangeOnce(url, operation, body, { ...options, secret }, headers);
    if (answer.status !== 401) {
      options.secrets.taken(secret);
      return answer;
    }
    refusal ??= answer;
  }
  if (refusal === null) throw new Error("a client has no secret, nor null for none");
  return refusal;
}

async function exchangeOnce(
  url: string,
  operation: Operation,
  body: unknown,
  options: Settings & { secret: string | null },
  headers: Record<string, string>,
): Promise<Exchanged> {
  const { secret, timeout = TIMEOUT_MS, headers: always = {}, verifyTls = true } = options;
  const sent = performance.now();
  try {
    const answer = await fetch(url, {
      method: operation.method,
      redirect: "manual",
      headers: {
        Accept: "application/json",
        ...(secret === null ? {} : { "X-BackendAI-Token": secret }),
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...always,
        ...headers,
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
      tls: { rejectUnauthorized: verifyTls },
    });
    // An error may be that of a proxy on the way, whose clock is another one.
    const date = answer.ok ? Date.parse(answer.headers.get("date") ?? "") : Number.NaN;
    if (!Number.isNaN(date)) options.dated?.({ date, sent, received: performance.now() });
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    throw new CallFailed(`${nameOf(operation, options)}: ${reason(error)}`, null, null, error);
  }
}

function baseOf({ baseUrl }: ClientOptions): string {
  // Without the look behind, a text of slashes with another end takes the square of its length.
  return baseUrl.replace(/(?<!\/)\/+$/, "");
}

/** Without its parameters, and without a password in the URL: a token may be among them. */
function nameOf({ method, path }: Operation, options: ClientOptions): string {
  return `${method} ${baseOf(options).replace(/\/\/[^/@]*@/, "//")}${path}`;
}

/** Throws for a value that would make another path: dots and nothing are part of a path's syntax. */
function fill(path: string, input: Given): string {
  return path.replace(/\{(\w+)\}/g, (_whole, name: string) => {
    const value = String(input[name]);
    if (/^\.{0,2}$/.test(value)) throw new CallFailed(`${path}: ${name} can't be ${JSON.stringify(value)}`, null);
    return encodeURIComponent(value);
  });
}

/** Objects go as JSON; what is undefined or null is left out. */
function queryOf(query: Record<string, unknown> | undefined): string {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value != null);
  const search = new URLSearchParams();
  for (const [name, value] of pairs) search.set(name, typeof value === "string" ? value : JSON.stringify(value));
  return pairs.length === 0 ? "" : `?${search.toString()}`;
}

/** Text that is no JSON stays text: the check of the answer says that. */
function read(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function isProblem(value: unknown): value is Problem {
  return isRecord(value) && typeof value["type"] === "string" && typeof value["title"] === "string";
}
