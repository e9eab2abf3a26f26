/**
 * Permits, with which a person may use a circuit, and the one-time tickets that lead to them, as texts (permit-cookie.ts has
 * the cookies).
 * A permit is bound to one circuit and person. It is issued in the compact form (compact-permit.ts); that of earlier
 * versions, v2, is read until it expires, and issued where `permit.compact` is off: an older node knows no other.
 * The compatible one of the original is accepted only by configuration.
 */
import { createHmac } from "node:crypto";
import { ownText, Recent } from "../../shared/runtime/recent.ts";
import { sameSecret, secretId } from "../../shared/runtime/secrets.ts";
import { authorityTag, readStamp, sealPermit, unsealPermit, type PermitStamp } from "./compact-permit.ts";
import { firstOf, MAX_SEALED, readClaims, ringOf, seal, unseal, type KeyRing } from "./sealed.ts";

export interface PermitClaims {
  uid: string;
  cid: string;
  /** Epoch seconds. */
  iat: number;
  exp: number;
}

export interface TicketClaims {
  uid: string;
  cid: string;
  exp: number;
  /** Single use. */
  jti: string;
  /** Where to go afterwards. */
  path: string;
  /** It was made longer already, for a tab of its own. */
  tab?: true;
}

export interface PermitSettings {
  secret: string;
  previous_secrets: readonly string[];
  digest_mod: string;
}

/** How a worker issues permits. */
export interface PermitIssue {
  /** Its own name, for the permit's tag. */
  authority: string;
  compact: boolean;
}

/** Seconds from /setup to /_appproxy/enter: one redirect. */
export const TICKET_LIFETIME = 60;

/** Signs and verifies with a ring of keys: the first signs, all verify. */
export class PermitAuthority {
  readonly #permitKeys: KeyRing;
  readonly #v2Keys: KeyRing;
  readonly #ticketKeys: KeyRing;
  readonly #kid: string;
  readonly #tag: number;
  readonly #compact: boolean;
  readonly #legacy: PermitSettings;
  /** Genuine permits seen lately, which go with their circuit: a page makes a hundred requests with the same one. */
  readonly #verified = new WeakMap<object, Recent<PermitClaims>>();

  constructor(settings: PermitSettings, issue: PermitIssue = { authority: "", compact: true }) {
    const secrets = [settings.secret, ...settings.previous_secrets];
    // Each use has a key of its own, so that a ticket can't pass as a permit nor a compatible permit as either.
    this.#permitKeys = ringOf(secrets, "permit v3");
    this.#v2Keys = ringOf(secrets, "permit v2");
    this.#ticketKeys = ringOf(secrets, "enter ticket");
    this.#kid = secretId(settings.secret);
    this.#tag = authorityTag(issue.authority);
    this.#compact = issue.compact;
    this.#legacy = settings;
  }

  /** A permit for a person and a circuit. `lifetime` in seconds, `now` in epoch seconds. */
  issue(uid: string, cid: string, now: number, lifetime: number): string {
    const [iat, exp] = [now, now + lifetime];
    if (!this.#compact) return seal("v2", { uid, cid, iat, exp, kid: this.#kid }, this.#v2Keys);
    return sealPermit({ tag: this.#tag, iat, exp }, uid, cid, this.#kid, firstOf(this.#permitKeys));
  }

  /** The claims of a genuine permit of this person and circuit, whatever its age; null for anything else. */
  read(permit: string, uid: string, circuit: { readonly id: string }): PermitClaims | null {
    const { id: cid } = circuit;
    const known = this.#verified.get(circuit)?.get(permit);
    const claims = known ?? this.#verify(permit, uid, cid);
    if (claims?.uid !== uid || claims.cid !== cid) return null;
    if (known === undefined) this.#remember(permit, claims, circuit);
    return claims;
  }

  #remember(permit: string, claims: PermitClaims, circuit: object): void {
    let verified = this.#verified.get(circuit);
    if (verified === undefined) this.#verified.set(circuit, (verified = new Recent(MAX_VERIFIED)));
    verified.set(ownText(permit), claims);
  }

  #verify(permit: string, uid: string, cid: string): PermitClaims | null {
    const stamp = unsealPermit(permit, uid, cid, this.#permitKeys.values());
    if (stamp !== null) return { uid, cid, iat: stamp.iat, exp: stamp.exp };
    const claims = unseal("v2", permit, this.#v2Keys);
    return claims !== null && isPermit(claims) ? claims : null;
  }

  /** Whether this worker's authority has issued a permit, as far as its text tells; false where that can't be said. */
  isOwn(stamp: PermitStamp | null): boolean {
    return stamp?.tag === this.#tag;
  }

  ticket(claims: Omit<TicketClaims, "exp">, now: number, lifetime = TICKET_LIFETIME): string {
    return seal("t1", { ...claims, exp: now + lifetime, kid: this.#kid }, this.#ticketKeys);
  }

  readTicket(ticket: string): TicketClaims | null {
    const claims = unseal("t1", ticket, this.#ticketKeys);
    return claims !== null && isTicket(claims) ? claims : null;
  }

  /** The original's cookie value for a person. */
  legacy(uid: string): string {
    return legacyPermit(this.#legacy.secret, uid, this.#legacy.digest_mod);
  }

  isLegacy(permit: string, uid: string): boolean {
    return [this.#legacy.secret, ...this.#legacy.previous_secrets].some((secret) =>
      sameSecret(permit, legacyPermit(secret, uid, this.#legacy.digest_mod)),
    );
  }
}

/** base64 of the ASCII hex digits of HMAC(secret, lower-case UUID): wire 7. */
export function legacyPermit(secret: string, uid: string, digest: string): string {
  return Buffer.from(createHmac(digest, secret).update(uid.toLowerCase()).digest("hex")).toString("base64");
}

/** What a permit's text says of its issue, unproved: of the compact form, and of v2 only the time. Null for other text. */
export function issueOf(permit: string): PermitStamp | null {
  const stamp = readStamp(permit);
  if (stamp !== null) return stamp;
  const [head, body] = permit.length > MAX_SEALED ? [] : permit.split(".");
  const claims = head === "v2" && body !== undefined ? readClaims(body) : null;
  return claims !== null && isPermit(claims) ? { tag: NaN, iat: claims.iat, exp: claims.exp } : null;
}

// --- internal ---

/** Of a circuit: more than it has users at a time; twice as many at most. About 400 bytes each. */
const MAX_VERIFIED = 256;

function isPermit(claims: Record<string, unknown>): claims is Record<string, unknown> & PermitClaims {
  return (
    typeof claims["uid"] === "string" &&
    typeof claims["cid"] === "string" &&
    typeof claims["iat"] === "number" &&
    typeof claims["exp"] === "number"
  );
}

function isTicket(claims: Record<string, unknown>): claims is Record<string, unknown> & TicketClaims {
  const { uid, cid, exp, jti, path } = claims;
  return [uid, cid, jti, path].every((value) => typeof value === "string") && typeof exp === "number";
}
