/**
 * Permits as cookies: their names and attributes, the header lines that set and expire them, and how they are read. The only
 * file that writes a permit's `Set-Cookie`; what a permit is worth is held-permit.ts's matter.
 */
import type { PermitAuthority } from "./permit.ts";

/** A line of an answer's head. */
export type HeaderLine = [name: string, value: string];

/** How permits travel. */
export interface CookieRules {
  /** Browsers reach circuits with TLS. */
  secure: boolean;
  /** `none`: also into frames of other sites' pages. Browsers want TLS for it. */
  sameSite: (typeof SAME_SITES)[number];
}

export const SAME_SITES = ["lax", "none"] as const;

/** How a worker issues and reads permits. */
export interface PermitRules extends CookieRules {
  permits: PermitAuthority;
  /** The original's cookie counts, and is set too. */
  acceptLegacy: boolean;
  /** Seconds that a permit lives without use. */
  lifetime: number;
  /** Epoch milliseconds. */
  now: () => number;
}

/** The cookie of a circuit. `__Host-` binds it to one host, which browsers demand TLS for. */
export function permitCookieName(circuitId: string, tls: boolean): string {
  return `${tls ? "__Host-" : ""}appproxy_permit_${circuitId.slice(0, 8)}`;
}

export const LEGACY_COOKIE = "appproxy_permit";

/** The circuit's first digits in the name of a permit's cookie; null for any other cookie. */
export function circuitOfCookie(name: string): string | null {
  return /^(?:__Host-)?appproxy_permit_([0-9a-f]{8})$/.exec(name)?.[1] ?? null;
}

/** Sets a new permit of a person for a circuit, from now on for `lifetime` seconds. */
export function permitLine(uid: string, cid: string, rules: PermitRules, lifetime = rules.lifetime): HeaderLine {
  const value = rules.permits.issue(uid, cid, Math.floor(rules.now() / 1000), lifetime);
  return setCookie(permitCookieName(cid, rules.secure), value, rules, lifetime);
}

/** Sets the original's cookie of a person, where that counts. Nobody has none: it would be the same one for all. */
export function legacyLines(uid: string, rules: PermitRules): HeaderLine[] {
  const { permits, acceptLegacy, lifetime } = rules;
  return acceptLegacy && uid !== "" ? [setCookie(LEGACY_COOKIE, permits.legacy(uid), rules, lifetime)] : [];
}

/** Expires a permit's cookie. It may be from before the worker's address changed between http and https. */
export function expiryLine(name: string, rules: CookieRules): HeaderLine {
  return setCookie(name, "", { ...rules, secure: rules.secure || wantsSecure(name) }, 0);
}

/** RFC 6265bis §4.1.3: browsers take cookies with such names only with `Secure`, also to expire them. */
export function wantsSecure(name: string): boolean {
  return /^__(host|secure)-/i.test(name);
}

/**
 * All values of a cookie in a `Cookie` header, without the quotes that they may have (RFC 6265 §4.1.1): Python's cookies put
 * a value with a `=` in quotes, and browsers send them back.
 */
export function cookieValues(header: string | null, name: string): string[] {
  if (header?.includes(name) !== true) return [];
  const found: string[] = [];
  let from = 0;
  for (let pairs = 0; pairs < MAX_PAIRS && found.length < MAX_VALUES; pairs++) {
    const equals = header.indexOf("=", from);
    if (equals === -1) return found;
    // What has no `=` is passed over with what stands before the name.
    const begin = Math.max(from, header.lastIndexOf(";", equals) + 1);
    const end = header.indexOf(";", equals);
    if (header.slice(begin, equals).trim() === name)
      found.push(unquoted(header.slice(equals + 1, end === -1 ? header.length : end).trim()));
    if (end === -1) return found;
    from = end + 1;
  }
  return found;
}

// --- internal ---

/** Browsers send some hundred cookies, and few of one name (one for each path): whoever sends more makes work. */
const [MAX_PAIRS, MAX_VALUES] = [1000, 24];

/**
 * One that comes into frames is partitioned (CHIPS): it is kept for each platform that shows the app, so that browsers which
 * block third-party cookies take it and no other site's pages send it along.
 *
 * Chromium keeps 180 cookies of a site and lets those of lower priority go first: hundreds of an app's push out no permit, unless
 * its script gives them the same priority. Other browsers do not know the attribute.
 */
function setCookie(name: string, value: string, { secure, sameSite }: CookieRules, maxAge: number): HeaderLine {
  const reach = sameSite === "none" ? "SameSite=None; Secure; Partitioned" : `SameSite=Lax${secure ? "; Secure" : ""}`;
  const priority = maxAge === 0 ? "" : "; Priority=High";
  return ["Set-Cookie", `${name}=${value}; Path=/; Max-Age=${maxAge}; HttpOnly; ${reach}${priority}`];
}

function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}
