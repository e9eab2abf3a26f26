/** Refused requests that follow from what the document says of a call: who may make it, its body, its path's parameters. */
import { expect } from "bun:test";
import { SignJWT } from "jose";
import { workerSecret } from "../../../shared/protocol/worker-secret.ts";
import { API_SECRET } from "../../support/manager.ts";
import type { Documented } from "./document.ts";
import { expectProblem, NOBODY, type AnyPlan, type Example } from "./plan.ts";
import type { Given } from "./stage.ts";

/** Of what the coordinators that the examples are for make workers' own secrets. */
export const OF_WORKERS = "the-root-of-workers-0123456789";

/** Their limits. */
export const LIMITS = { max_body_bytes: 2048, max_bulk_body_bytes: 8192 };

/** `plan` is the call's: its good request is made bad in one thing. */
export function impliedBy(call: Documented, { good }: AnyPlan): Example[] {
  const usual = { place: "usual", ask: good } as const;
  return [
    ...(call.guard === "public" ? [] : strangers(call).map((one): Example => ({ ...usual, ...one, status: 401 }))),
    ...(call.guard !== "public" && call.refusals.includes(403) ? [anotherWorker(good)] : []),
    ...(call.hasBody ? badBodies(call, good) : []),
    ...(call.refusals.includes(413) ? tooLong(call, good) : []),
    ...(call.refusals.includes(431) ? [tooLongHead(good)] : []),
    ...(call.guard === "public" ? [] : badParams(call, good)),
    ...(call.writes ? [whileLocked(good)] : []),
  ];
}

// --- internal ---

type Good = AnyPlan["good"];
/** As tests are run; a coordinator by itself reads 16 KiB. Bytes. */
const LONGEST_HEAD = 65_536;
const { max_body_bytes: SMALL, max_bulk_body_bytes: LARGE } = LIMITS;

/** Whoever does not prove the api_secret learns nothing of the rest. */
function strangers({
  guard,
  hasBody,
  params,
  query,
}: Documented): (Omit<Example, "place" | "status" | "ask"> & Partial<Example>)[] {
  const noSecret = /^wanted X-BackendAI-Token, or Authorization: Bearer with a JWT$/;
  const wrong = /^X-BackendAI-Token is not the api_secret$/;
  const badJwt = /^the JWT is not valid$/;
  const says =
    (msg: RegExp): Example["says"] =>
    (answer) =>
      expectProblem(answer, "auth-failed", msg);
  const spoilt: Given = {
    ...Object.fromEntries(params.map((name) => [name, "x"])),
    query: Object.fromEntries(query.map((name) => [name, "[]"])),
    ...(hasBody ? { body: "{" } : {}),
  };
  const nothing = { ...spoilt, body: undefined };
  // On this machine a Manager needs no secret, but a wrong one is refused.
  const without = { what: "no secret", headers: () => ({}), says: says(noSecret) };
  return [
    ...(guard === "manager" ? [] : [without, { ...without, what: "no secret and all else wrong", ask: () => spoilt }]),
    { what: "another secret", headers: () => ({ "X-BackendAI-Token": "another-secret-0123456789" }), says: says(wrong) },
    { what: "another secret and no body", ask: () => nothing, headers: () => ({ "X-BackendAI-Token": "x" }), says: says(wrong) },
    { what: "another secret and all else wrong", ask: () => spoilt, headers: () => ({ "X-BackendAI-Token": "x" }), says: says(wrong) },
    { what: "a JWT without exp", headers: () => bearer((jwt) => jwt), says: says(badJwt) },
    { what: "a JWT that has expired", headers: () => bearer((jwt) => jwt.setExpirationTime(1)), says: says(badJwt) },
  ]; // prettier-ignore
}

/** A worker's own secret opens workers' calls, about that worker alone. */
function anotherWorker(good: Good): Example {
  return {
    place: "usual",
    status: 403,
    what: "another worker's own secret",
    ask: good,
    headers: () => ({ "X-BackendAI-Token": workerSecret(OF_WORKERS, "taken") }),
    says: (answer) =>
      expectProblem(answer, "generic-forbidden", /^authority: the secret is that of "taken", and this is "[\w-]+"$/),
  };
}

async function bearer(change: (jwt: SignJWT) => SignJWT): Promise<Record<string, string>> {
  const jwt = await change(new SignJWT({}).setProtectedHeader({ alg: "HS256" })).sign(new TextEncoder().encode(API_SECRET)); // prettier-ignore
  return { Authorization: `Bearer ${jwt}` };
}

function badBodies({ needsBody }: Documented, good: Good): Example[] {
  const bad = (what: string, body: unknown, msg: string): Example => ({
    place: "usual",
    status: 400,
    what,
    ask: async (stage) => ({ ...(await good(stage)), body }),
    says: (answer) => expectProblem(answer, "invalid-api-params", msg),
  });
  return [
    bad("a body that is no JSON", "{", "body: wanted JSON, got something else"),
    bad("a body that is a list", "[1]", "body: wanted an object, got a list of 1"),
    bad("a body of too many levels", "[".repeat(33) + "]".repeat(33), "body: wanted at most 32 levels of nesting"),
    ...(needsBody ? [bad("no body", undefined, "body: wanted an object, got nothing")] : []),
  ];
}

function tooLong({ guard }: Documented, good: Good): Example[] {
  const long = (what: string, bytes: number, limit: number, headers?: Record<string, string>): Example => ({
    place: "usual",
    status: 413,
    what,
    ask: async (stage) => ({ ...(await good(stage)), body: JSON.stringify("x".repeat(bytes - 2)) }),
    ...(headers === undefined ? {} : { headers: () => headers }),
    says: (answer) =>
      expectProblem(answer, "payload-too-large", `body: wanted at most ${limit} bytes, got ${bytes} bytes`),
  });
  return [
    long("a body over the small limit from a stranger", SMALL + 1, SMALL, {}),
    long("a body over the large limit", LARGE + 1, LARGE),
    ...(guard === "public" ? [] : [long("a body over the small limit with another secret", SMALL + 1, SMALL, { "X-BackendAI-Token": "x" })]), // prettier-ignore
  ];
}

/** Nobody knows whose it is: there is no problem document. */
function tooLongHead(good: Good): Example {
  return {
    place: "usual",
    status: 431,
    what: "a query that is longer than a head may be",
    async ask(stage) {
      const given = await good(stage);
      return { ...given, query: { ...given.query, more: "x".repeat(LONGEST_HEAD) } };
    },
    says: (answer) => expect(answer.headers.get("content-type")).toBeNull(),
  };
}

/** What waits for the database's lock is told so in time. */
function whileLocked(good: Good): Example {
  return {
    place: "locked",
    status: 503,
    what: "a database that another process has locked",
    ask: good,
    says: (answer) =>
      expectProblem(answer, "service-unavailable", "The database is locked by another process; try again"),
  };
}

function badParams({ params, refusals }: Documented, good: Good): Example[] {
  return params.flatMap((name) => {
    const given = (what: string, value: string): Omit<Example, "status" | "says"> => ({
      place: "usual",
      what,
      ask: async (stage) => ({ ...(await good(stage)), [name]: value }),
    });
    const bad: Example = {
      ...given(`a ${name} that is no UUID`, "a/../b"),
      status: 400,
      says: (answer) => expectProblem(answer, "invalid-api-params", `${name}: wanted a UUID, got "a/../b"`),
    };
    // An endpoint is told apart by its circuit.
    const object = name === "worker_id" ? "worker" : "circuit";
    const unknown: Example = {
      ...given(`a ${name} of nothing`, NOBODY),
      status: 404,
      says: (answer) => expectProblem(answer, "object-not-found", object),
    };
    return refusals.includes(404) ? [bad, unknown] : [bad];
  });
}
