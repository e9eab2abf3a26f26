/** How a caller proves the api_secret, and how one who can't tries to. */
import { SignJWT } from "jose";
import type { Guard } from "../../coordinator/calls/document.ts";
import type { Random } from "../../faults/random.ts";
import { API_SECRET, JWT_SECRET } from "../../support/manager.ts";
import { setHeader, type Attempt } from "./attempt.ts";

/** Gives the request other credentials: right ones in another form, or wrong ones, which are those of a stranger. */
export async function credentials(attempt: Attempt, random: Random, guard: Guard): Promise<void> {
  const isRight = random.chance(0.3);
  setHeader(attempt, "X-BackendAI-Token", undefined);
  setHeader(attempt, "Authorization", undefined);
  const { what, lines, query = [] } = isRight ? await right(random) : await wrong(random);
  attempt.what.push(what);
  attempt.headers.push(...lines);
  attempt.query.push(...query);
  // One call gives its query back, as a link.
  if (query.length > 0) attempt.secrets = [];
  // What is sent as a credential is one, also where it opens nothing.
  attempt.secrets.push(...lines.map(([, value]) => value.replace(/^\w+ +/, "")).filter(({ length }) => length > 8));
  if (isRight || guard === "public") return;
  // A Manager on this machine may come without a word, if all else is a Manager's.
  attempt.isStranger = guard === "api" || lines.some(([name]) => name !== "Cookie");
  attempt.wrong = null;
}

// --- internal ---

interface Credentials {
  what: string;
  lines: [name: string, value: string][];
  query?: [name: string, value: string][];
}

const TOKEN = "X-BackendAI-Token";
const AN_HOUR = 3600;

async function right(random: Random): Promise<Credentials> {
  const form = random.pick(["x-backendai-token", "Bearer", "BackendAI", "jwt"]);
  const what = `the secret by ${form}`;
  if (form === "jwt") return { what, lines: [["Authorization", `Bearer ${await signed({}, inAnHour())}`]] };
  return { what, lines: [[TOKEN, form.startsWith("x-") ? API_SECRET : `${form} ${API_SECRET}`]] };
}

async function wrong(random: Random): Promise<Credentials> {
  const header = (value: string): Credentials => ({ what: `${TOKEN}: ${value}`, lines: [[TOKEN, value]] });
  const bearer = (value: string): Credentials => ({ what: `Bearer ${value}`, lines: [["Authorization", `Bearer ${value}`]] }); // prettier-ignore
  const [head = "", payload = "", mark = ""] = (await signed({}, inAnHour())).split(".");
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return random.pick<() => Credentials | Promise<Credentials>>([
    () => ({ what: "no secret", lines: [] }),
    () => ({ what: "the secret in the query", lines: [], query: [["X-BackendAI-Token", API_SECRET]] }),
    () => ({ what: "the secret in a cookie", lines: [["Cookie", `${TOKEN}=${API_SECRET}`]] }),
    () => ({ what: "the secret by Basic", lines: [["Authorization", `Basic ${Buffer.from(API_SECRET).toString("base64")}`]] }),
    () => ({ what: "the bare secret", lines: [["Authorization", API_SECRET]] }),
    () => ({ what: "two tokens", lines: [[TOKEN, "another-secret-0123456789"], [TOKEN, API_SECRET]] }),
    () => header(""),
    () => header("another-secret-0123456789"),
    () => header(`${API_SECRET}x`),
    () => header(API_SECRET.slice(0, -1)),
    () => header(API_SECRET.toUpperCase()),
    () => header(`Basic ${API_SECRET}`),
    () => header("\xff\xfe-not-a-secret"),
    () => bearer(API_SECRET),
    async () => bearer(await signed({}, null)),
    async () => bearer(await signed({}, 1)),
    async () => bearer(await signed({}, inAnHour(), JWT_SECRET)),
    () => bearer(`${encoded({ alg: "none" })}.${payload}.`),
    () => bearer(`${head}.${encoded({ exp: "x" })}.${mark}`),
    () => bearer(`${head}.${payload}.${mark}x`),
    () => bearer(`${head}.${payload}`),
    () => bearer("e30.".repeat(1000)),
  ])(); // prettier-ignore
}

function inAnHour(): number {
  return Math.floor(Date.now() / 1000) + AN_HOUR;
}

function signed(claims: Record<string, unknown>, exp: number | null, secret = API_SECRET): Promise<string> {
  const jwt = new SignJWT(claims).setProtectedHeader({ alg: "HS256" });
  return (exp === null ? jwt : jwt.setExpirationTime(exp)).sign(new TextEncoder().encode(secret));
}
