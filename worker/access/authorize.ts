/**
 * May this request pass to the app? Address list, then credential, then where it comes from (security 1–5).
 * Throws the failure; gives the header lines to add to the answer (a renewed permit).
 */
import { Failure } from "../../shared/failure.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { Bearers } from "./bearer.ts";
import type { Client } from "../http/client-address.ts";
import type { RequestHead } from "../seam/engine.ts";
import { checkOrigin, type Own } from "./origin.ts";
import {
  cookieValues,
  LEGACY_COOKIE,
  permitCookie,
  permitCookieName,
  type CookieRules,
  type PermitAuthority,
  type PermitClaims,
} from "./permit.ts";
import type { PermitJar } from "./permit-jar.ts";
import type { Entry } from "../circuits/table.ts";

export interface AdmitSettings extends CookieRules {
  permits: PermitAuthority;
  jar: PermitJar;
  bearers: Bearers;
  acceptLegacy: boolean;
  /** What tells the circuit's own pages. */
  own: (entry: Entry) => Own;
  /** Seconds that a permit lives without use. */
  lifetime: number;
  /** Epoch milliseconds. */
  now: () => number;
}

/** The header lines to add; a promise where a bearer token is seen for the first time, to be asked again after it. */
export function admit(
  entry: Entry,
  head: RequestHead,
  client: Client,
  settings: AdmitSettings,
): [string, string][] | Promise<void> {
  checkAddress(entry, client);
  const { circuit } = entry;
  if (circuit.open_to_public) return NONE;
  if (circuit.app_mode === "inference") {
    return settings.bearers.admit(circuit.id, head.header("authorization")) ?? NONE;
  }
  const permit = validPermit(entry, head, settings);
  checkOrigin(head, client, () => settings.own(entry));
  return permit === null ? NONE : renewal(permit, head, settings);
}

/** Throws unless the circuit's address list lets the client in. */
export function checkAddress(entry: Entry, client: Client): void {
  if (entry.allowed !== null && !entry.allowed(client.address)) {
    throw new Failure("client-ip-not-allowed", "E20011: Client address not allowed");
  }
}

/**
 * Whose permits are for a circuit; null where nobody's are. Those of a public one let nobody in, they say that a browser was
 * cleared for it (leavings.ts): nobody's, so that they are worth nothing should it be private one day.
 */
export function permitUser({ open_to_public: isPublic, user_id: user }: Circuit): string | null {
  return isPublic ? "" : user;
}

/** The valid permit of a request; null when it is a compatible one. Throws when there is none. */
export function validPermit({ circuit }: Entry, head: RequestHead, settings: AdmitSettings): PermitClaims | null {
  const header = head.header("cookie");
  const now = settings.now() / 1000;
  const user = permitUser(circuit);
  const permits = cookieValues(header, permitCookieName(circuit.id, settings.secure));
  for (const permit of permits) {
    const claims = user === null ? null : settings.permits.read(permit, user, circuit.id);
    if (claims !== null && claims.exp > now) return claims;
  }
  const legacy = settings.acceptLegacy ? cookieValues(header, LEGACY_COOKIE) : [];
  for (const permit of legacy) if (user !== null && user !== "" && settings.permits.isLegacy(permit, user)) return null;
  if (permits.length + legacy.length === 0)
    throw new Failure("invalid-credentials", "E20004: Authorization cookie not provided");
  throw new Failure("invalid-credentials", "E20005: Invalid authorization cookie");
}

// --- internal ---

const NONE: [string, string][] = [];

/** So many renewals in a whole life: which permits are in use can be told to a quarter of an hour, of twelve. */
const RENEWALS = 48;

/** A permit in use is renewed, so that it ends only after `lifetime` without use. */
function renewal(permit: PermitClaims, head: RequestHead, settings: AdmitSettings): [string, string][] {
  const { permits, jar, secure, lifetime, now } = settings;
  const at = Math.floor(now() / 1000);
  if (at - permit.iat < lifetime / RENEWALS) return NONE;
  const name = permitCookieName(permit.cid, secure);
  const value = permits.issue(permit.uid, permit.cid, at, lifetime);
  return [["Set-Cookie", permitCookie(name, value, settings, lifetime)], ...jar.tidy(head.header("cookie"), name)];
}
