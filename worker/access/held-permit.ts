/**
 * What a request's cookies are worth for a circuit: asked when a request wants to pass (authorize.ts), on both hops of the
 * way in (setup.ts, enter.ts), and for manifests (manifest.ts). The only file that says whether somebody holds a permit.
 */
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { cookieValues, LEGACY_COOKIE, permitCookieName, type PermitRules } from "./permit-cookie.ts";
import type { PermitClaims } from "./permit.ts";

export type Held =
  | { kind: "permit"; claims: PermitClaims }
  /** The original's, which says neither for which circuit nor since when. */
  | { kind: "legacy" }
  /** Something of the kind, but nothing that counts. */
  | { kind: "invalid" }
  | { kind: "none" };

/**
 * Whose permits are for a circuit; null where nobody's are. Those of a public one let nobody in, they say that a browser was
 * cleared for it (leavings.ts): nobody's, so that they are worth nothing should it be private one day.
 */
export function permitUser({ open_to_public: isPublic, user_id: user }: Circuit): string | null {
  return isPublic ? "" : user;
}

/** What a `Cookie` header holds for the circuit. */
export function heldPermit(circuit: Circuit, cookies: string | null, rules: PermitRules): Held {
  const user = permitUser(circuit);
  const claims = user === null ? null : validPermitOf(user, circuit, cookies, rules);
  if (claims !== null) return { kind: "permit", claims };
  const legacy = rules.acceptLegacy ? cookieValues(cookies, LEGACY_COOKIE) : [];
  // The original's of nobody would be the same one for all circuits without an owner.
  if (user !== null && user !== "" && legacy.some((permit) => rules.permits.isLegacy(permit, user)))
    return { kind: "legacy" };
  const shown = legacy.length + cookieValues(cookies, permitCookieName(circuit.id, rules.secure)).length;
  return { kind: shown === 0 ? "none" : "invalid" };
}

/** Whether who sends these cookies may use the circuit. */
export function holdsPermit(circuit: Circuit, cookies: string | null, rules: PermitRules): boolean {
  const { kind } = heldPermit(circuit, cookies, rules);
  return kind === "permit" || kind === "legacy";
}

/** The claims of a permit of this person that has not expired. A name may come more than once, with other paths. */
export function validPermitOf(
  uid: string,
  circuit: Circuit,
  cookies: string | null,
  { permits, secure, now }: PermitRules,
): PermitClaims | null {
  for (const permit of cookieValues(cookies, permitCookieName(circuit.id, secure))) {
    const claims = permits.read(permit, uid, circuit);
    if (claims !== null && claims.exp * 1000 > now()) return claims;
  }
  return null;
}

/** Whether the cookies hold anything of the kind, good or not: the request came with credentials. */
export function showsPermit({ id }: Circuit, cookies: string | null, secure: boolean): boolean {
  return [permitCookieName(id, secure), LEGACY_COOKIE].some((name) => cookieValues(cookies, name).length > 0);
}
