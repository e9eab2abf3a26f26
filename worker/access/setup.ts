/**
 * `GET /setup?token=`: the first hop of letting a person in. Verifies the coordinator's token, which is for the client
 * that uses it first, and sends the person to the circuit's own origin with a one-time ticket. What a TCP circuit answers is
 * tcp-setup.ts's matter. Runs on the worker's API port.
 */
import { errors } from "jose";
import { Failure } from "../../shared/failure.ts";
import { isExpired, verifySetupToken } from "../../shared/protocol/jwt.ts";
import { homeUrl } from "../../shared/http/home.ts";
import { languageOf } from "../../shared/pages/language.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { pathAndQuery } from "../../shared/http/target.ts";
import { redirectPath } from "../../shared/http/redirect.ts";
import type { AdmitSettings } from "./authorize.ts";
import type { Proxies } from "../http/client-address.ts";
import { ENTER_PATH, PRIVATE_HEADERS } from "./enter.ts";
import { isOver, isSameClient, SAME_CLIENT_SECONDS } from "./first-use.ts";
import type { Homes } from "../circuits/homes.ts";
import { clearingFromOutside, mayHoldLeavings } from "./leavings.ts";
import { alreadyUsed, badLink, ended, expired } from "./link-failures.ts";
import { overFirstFamily } from "./other-family.ts";
import { personOf, type Person } from "./person.ts";
import { openTcp, type TcpSetupDeps } from "./tcp-setup.ts";
import { heldPermit, holdsPermit, permitUser, validPermitOf } from "./held-permit.ts";
import { legacyLines, permitCookieName, permitLine } from "./permit-cookie.ts";
import type { PermitClaims } from "./permit.ts";
import type { Entry } from "../circuits/table.ts";
import { knownOrFetched, type Fetching } from "../circuits/unheard.ts";
import { seemsUnseen, unseen, UNSEEN_HEADERS } from "./unseen.ts";

export interface SetupDeps extends TcpSetupDeps, Fetching {
  admission: AdmitSettings;
  /** Of which tokens count. */
  jwtSecrets: readonly string[];
  proxies: Proxies;
  homes: Homes;
}

interface Claims {
  circuit: string;
  redirect: string;
  /** Null for tokens of the original's coordinator, which may be used again. */
  jti: string | null;
  exp: number | undefined;
  /** The origin from which the person opened the app, as the coordinator heard it. */
  home: string | undefined;
}

/** What is known of a token that may be used: this is its first use, the same client's next, or another client's. */
interface Use {
  kind: "first" | "again" | "another";
  /** Who was first; null where that is this client, or not known. */
  by: string | null;
}

/** Answers a setup request of the client at `peer`. Rejects with the failure. */
export async function setup(request: Request, peer: string, deps: SetupDeps): Promise<Response> {
  const header = (name: string) => request.headers.get(name);
  const quiet = unseen(request.method, header);
  if (quiet !== null) return nothing(quiet.status);
  const query = new URLSearchParams(pathAndQuery(request.url).split("?")[1] ?? "");
  const token = query.get("token");
  const claims = await readClaims(token, deps);
  // A TCP setup is read by the page that fetches it.
  if (seemsUnseen(header) && deps.table.byId(claims.circuit)?.circuit.protocol === "http") return nothing(204);
  const person = personOf(request, peer, deps.proxies);
  const use = await useOf(claims, person.id, deps);
  // A used link makes this node fetch for its own client alone: it may have been used at a node that heard of the circuit first.
  const entry = use.kind === "another" ? deps.table.byId(claims.circuit) : await knownOrFetched(claims.circuit, deps);
  if (entry === undefined) throw use.kind === "another" ? alreadyUsed(claims.home) : ended(claims.home);
  const { circuit } = entry;
  if (use.kind !== "another" && claims.home !== undefined) deps.homes.opened(circuit, claims.home);
  refuseOthers(circuit);
  const visit = { header, claims, person, use, query };
  if (circuit.protocol === "http") return openHttp(entry, visit, deps);
  if (use.kind === "another") return another(visit, deps);
  const { jti, redirect } = claims;
  return openTcp(
    entry,
    { header, person, token: token ?? "", jti, redirect, again: use.kind === "again", query },
    deps,
  );
}

// --- internal ---

/** Somebody who has come with a genuine token. */
interface Visit {
  header: (name: string) => string | null;
  claims: Claims;
  person: Person;
  use: Use;
  query: URLSearchParams;
}

/** Throws for circuits that nobody opens in a browser. */
function refuseOthers({ app_mode: mode, protocol }: Circuit): void {
  const page = "not-for-browsers";
  if (mode === "inference")
    throw new Failure("generic-bad-request", { msg: "E20011: Not supported for inference apps", page });
  if (protocol !== "http" && protocol !== "tcp")
    throw new Failure("generic-bad-request", { msg: "E20002: Protocol not available as interactive app", page });
}

/** Who uses another's link; the first one itself may look like another. Throws where it is none. */
async function another({ header, claims, person, use, query }: Visit, { families }: SetupDeps): Promise<Response> {
  const sent = await overFirstFamily({ header, by: use.by, client: person.id, query }, families);
  if (sent === null) throw alreadyUsed(claims.home);
  return new Response(sent.body, { status: sent.status, headers: sent.headers });
}

function openHttp(entry: Entry, visit: Visit, deps: SetupDeps): Response | Promise<Response> {
  const { header, claims, use } = visit;
  const { circuit } = entry;
  const path = redirectPath(claims.redirect);
  if (path === null) throw badLink("redirect: wanted a path that starts with a single /");
  const origin = deps.origin(entry);
  const mayHold = mayHoldLeavings(circuit, clearedBy(circuit, header("cookie"), deps.admission));
  // To a public one anybody may go, and by this way only to be cleared of what another's app has left there.
  if (circuit.open_to_public && !mayHold) return goTo(origin + path, []);
  if (use.kind === "another" && !circuit.open_to_public) {
    // In port mode the API has the circuits' host, so a browser that reloads this page shows its permit, or the original's.
    return holdsPermit(circuit, header("cookie"), deps.admission) ? goTo(origin + path, []) : another(visit, deps);
  }
  const { permits, now } = deps.admission;
  const uid = permitUser(circuit) ?? "";
  const ticket = permits.ticket({ uid, cid: circuit.id, jti: deps.newId(), path }, Math.floor(now() / 1000));
  const onward = `${origin}${ENTER_PATH}?t=${ticket}`;
  const lines = cookieLines(circuit, uid, header("cookie"), deps.admission);
  // Another user's service worker, of which nobody knows, may answer the navigation itself. Service workers are only where
  // browsers say how they ask, and at no name to which they can't go.
  const isThere = mayHold && URL.canParse(origin);
  if (!isThere || header("sec-fetch-mode") !== "navigate") return goTo(onward, lines);
  const language = languageOf(header("accept-language"));
  const { status, headers, body } = clearingFromOutside(onward, [...PRIVATE_HEADERS, ...lines], language);
  return new Response(body, { status, headers });
}

/** Programs that know only the original take its cookie from this answer. */
function cookieLines(
  circuit: Circuit,
  uid: string,
  cookie: string | null,
  settings: AdmitSettings,
): [string, string][] {
  const tidied = settings.jar.tidy(cookie, permitCookieName(circuit.id, settings.secure));
  return [...tidied, ...mark(circuit, settings), ...legacyLines(uid, settings)];
}

/** Judges who comes with a genuine token, and when. Throws when its time is over. */
async function useOf({ jti, exp }: Claims, client: string, { firstUses, admission }: SetupDeps): Promise<Use> {
  const now = admission.now();
  const isOld = isExpired(exp, now);
  if (jti === null) {
    if (isOld) throw expired();
    return FIRST;
  }
  // What can be remembered of nobody is not asked for.
  if (isExpired(exp, now - SAME_CLIENT_SECONDS * 1000)) throw expired();
  const first = isOld ? await firstUses.find(jti) : await firstUses.claim(jti, client);
  if (first === null ? isOld : isOver(first, now)) throw expired();
  if (first === null) return FIRST;
  return isSameClient(first, client) ? { kind: "again", by: null } : { kind: "another", by: first.by };
}

const FIRST: Use = { kind: "first", by: null };

async function readClaims(token: string | null, { jwtSecrets }: SetupDeps): Promise<Claims> {
  if (token === null || token === "") throw badLink("token: wanted the setup token of the coordinator");
  const payload = await verifySetupToken(token, jwtSecrets).catch((error: unknown) => {
    throw new Failure("invalid-credentials", {
      msg: "token: not valid; open the app again",
      page: "link-expired",
      cause: hint(error),
    });
  });
  const { circuit, redirect, jti, exp, home } = payload;
  if (typeof circuit !== "string") throw badLink("token: names no circuit");
  return {
    circuit: circuit.toLowerCase(),
    redirect: typeof redirect === "string" ? redirect : "",
    jti: jti ?? null,
    exp,
    home: typeof home === "string" ? homeUrl(home) : undefined,
  };
}

/** For the log: what an operator can do about it. */
function hint(error: unknown): unknown {
  const forged = error instanceof errors.JWSSignatureVerificationFailed;
  return forged
    ? new Error(
        "its signature is wrong: is secrets.jwt_secret neither the coordinator's nor what `bun run keys --worker` prints of it?",
      )
    : error;
}

function nothing(status: number): Response {
  return new Response(null, { status, headers: UNSEEN_HEADERS });
}

/** What says that this browser was cleared for a circuit: its permit, or a mark. */
function clearedBy(circuit: Circuit, cookies: string | null, settings: AdmitSettings): PermitClaims | null {
  if (circuit.recycled_at === undefined) return null;
  const held = heldPermit(circuit, cookies, settings);
  return held.kind === "permit" ? held.claims : validPermitOf(MARK_USER, circuit, cookies, settings);
}

/** Nobody: a mark lets nobody in. */
const MARK_USER = "";
/** As long as a circuit may well be open. Seconds. */
const MARK_LIFETIME = 30 * 24 * 3600;

/**
 * By name the permit is on another host than this page, whose clearing fetch brings it along from the same site only. So
 * the page's own host keeps a mark, lest each opening clears what the person's own app has stored meanwhile.
 */
function mark(circuit: Circuit, settings: AdmitSettings): [string, string][] {
  if (circuit.recycled_at === undefined || circuit.frontend_mode === "port") return [];
  return [permitLine(MARK_USER, circuit.id, settings, MARK_LIFETIME)];
}

function goTo(location: string, more: [string, string][]): Response {
  return new Response(null, { status: 302, headers: [["Location", location], ...PRIVATE_HEADERS, ...more] });
}
