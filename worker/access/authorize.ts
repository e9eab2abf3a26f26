/**
 * May this request pass to the app? Credential, then where it comes from; the address list was asked before (security 1–5).
 * Throws the failure; gives the header lines to add to the answer (a renewed permit).
 */
import { Failure } from "../../shared/failure.ts";
import type { Bearers } from "./bearer.ts";
import type { Client } from "../http/client-address.ts";
import type { RequestHead } from "../seam/engine.ts";
import { checkOrigin, type Own } from "./origin.ts";
import { heldPermit } from "./held-permit.ts";
import type { PermitRules } from "./permit-cookie.ts";
import { freshPermit, type PermitJar } from "./permit-jar.ts";
import type { PermitClaims } from "./permit.ts";
import type { Entry } from "../circuits/table.ts";

export interface AdmitSettings extends PermitRules {
  jar: PermitJar;
  bearers: Bearers;
  /** What tells the circuit's own pages. */
  own: (entry: Entry) => Own;
}

/** A permit that these cookies hold for this circuit, once it was found. */
export interface KnownPermit {
  permit: PermitClaims | null;
}

/** The header lines to add; a promise where a bearer token is seen for the first time, to be asked again after it. */
export function admit(
  entry: Entry,
  head: RequestHead,
  client: Client,
  settings: AdmitSettings,
  known: KnownPermit = { permit: null },
): [string, string][] | Promise<void> {
  const { circuit } = entry;
  if (circuit.open_to_public) return NONE;
  if (circuit.app_mode === "inference") {
    return settings.bearers.admit(circuit.id, head.header("authorization")) ?? NONE;
  }
  const isKnown = known.permit !== null && known.permit.exp * 1000 > settings.now();
  const permit = isKnown ? known.permit : validPermit(entry, head, settings);
  known.permit = permit;
  checkOrigin(head, client, () => settings.own(entry));
  return permit === null ? NONE : renewal(permit, head, settings);
}

/** Whether the circuit's address list lets a client in that has this address. The one place that asks it. */
export function isAllowed({ allowed }: Entry, address: string): boolean {
  return allowed === null || allowed(address);
}

/** Throws unless it does. */
export function checkAddress(entry: Entry, address: string): void {
  if (!isAllowed(entry, address)) throw new Failure("client-ip-not-allowed", "E20011: Client address not allowed");
}

/** The valid permit of a request; null when it is a compatible one. Throws when there is none. */
export function validPermit({ circuit }: Entry, head: RequestHead, settings: PermitRules): PermitClaims | null {
  const held = heldPermit(circuit, head.header("cookie"), settings);
  switch (held.kind) {
    case "permit":
      return held.claims;
    case "legacy":
      return null;
    case "none":
      throw new Failure("invalid-credentials", "E20004: Authorization cookie not provided");
    case "invalid":
      throw new Failure("invalid-credentials", "E20005: Invalid authorization cookie");
  }
}

// --- internal ---

const NONE: [string, string][] = [];

/** So many renewals in a whole life: which permits are in use can be told to a quarter of an hour, of twelve. */
const RENEWALS = 48;

/** A permit in use is renewed, so that it ends only after `lifetime` without use. */
function renewal(permit: PermitClaims, head: RequestHead, settings: AdmitSettings): [string, string][] {
  const at = Math.floor(settings.now() / 1000);
  if (at - permit.iat < settings.lifetime / RENEWALS) return NONE;
  return freshPermit(permit.uid, permit.cid, head.header("cookie"), settings);
}
