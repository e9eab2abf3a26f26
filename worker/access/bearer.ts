/**
 * Bearer tokens of model services: JWTs that the coordinator minted for one circuit. A client sends the same one with
 * every request, so genuine ones are remembered for a while; checking a signature anew costs more than the rest.
 */
import { decodeJwt, errors } from "jose";
import { Failure } from "../../shared/failure.ts";
import { verifyJwt, type Verifying } from "../../shared/protocol/jwt.ts";
import { ownText, Recent } from "../../shared/runtime/recent.ts";

/** What counts of a genuine token. */
interface Bearer {
  circuitId: string;
  /** Epoch seconds. */
  exp: number;
}

export interface Bearers {
  /**
   * Lets the holder of the circuit's token in. At once where the token is known, else when its signature is checked.
   * Throws or rejects with the failure (wire 3, E20006 to E20009).
   */
  admit(circuitId: string, authorization: string | null): undefined | Promise<void>;
}

/** Twice as many at most; about 1.5 KB each. */
const MAX_KNOWN = 10_000;
/** As for all JWTs: clocks differ. Seconds. */
const CLOCK_TOLERANCE = 5;

/** `now` gives epoch milliseconds. */
export function createBearers(jwtSecrets: Verifying, now: () => number): Bearers {
  /** Genuine tokens seen lately: the busy ones stay. */
  const known = new Recent<Bearer>(MAX_KNOWN);

  async function learn(token: string): Promise<Bearer> {
    const claims = await verifyJwt(token, jwtSecrets, ["exp"], now).catch((error: unknown) => {
      throw invalid(why(error));
    });
    const bearer = { circuitId: String(claims["id"]).toLowerCase(), exp: claims.exp ?? 0 };
    known.set(ownText(token), bearer);
    return bearer;
  }

  /** A known token may be over by now. */
  function check(bearer: Bearer, circuitId: string): undefined {
    if (bearer.exp + CLOCK_TOLERANCE <= now() / 1000) throw invalid(EXPIRED);
    if (bearer.circuitId !== circuitId)
      throw new Failure("invalid-credentials", "E20009: Authorization token mismatch");
  }

  return {
    admit(circuitId, authorization) {
      const token = tokenOf(authorization);
      const bearer = known.get(token);
      if (bearer !== undefined) return check(bearer, circuitId);
      return learn(token).then((fresh) => check(fresh, circuitId));
    },
  };
}

/**
 * Whether a client of a public model service sends one of our tokens all the same, left over from when it was private. It
 * is not checked there, and it is not for the app to see: it may be good again.
 */
export function isOurs(circuitId: string, authorization: string | null): boolean {
  let looked = 0;
  // However they are written: after a tab, in quotes, two in one line.
  for (const text of authorization?.split(NO_PART_OF_JWT) ?? []) {
    const parts = text.split(".");
    for (const [at, claims] of parts.entries()) {
      const isMiddle = BEGIN.test(parts[at - 1] ?? "") && claims !== "" && (parts[at + 1] ?? "") !== "";
      if (isMiddle && (++looked > MAX_LOOKED || isFor(circuitId, claims))) return true;
    }
  }
  return false;
}

// --- internal ---

const EXPIRED = "it has expired";
const UNREADABLE = "it cannot be read";
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;
/** No pattern for a whole one: its time would grow with the square of a line of `-eyJ-eyJ…`. */
const NO_PART_OF_JWT = /[^\w.-]/;
/** `{"` in Base64, with which the header of every JWT begins. */
const BEGIN = /\beyJ/;
/** Nobody sends more than a few. What has more than this is made to cost time, and is kept from the app. */
const MAX_LOOKED = 16;

/** Whether these claims, in Base64, are of a token for this circuit. */
function isFor(circuitId: string, claims: string): boolean {
  try {
    return String(decodeJwt(`eyJ.${claims}.x`)["id"]).toLowerCase() === circuitId;
  } catch {
    return false; // something else that looks like one
  }
}

/** RFC 9110 §11.1: schemes have no case. `BackendAI` is the platform's own name for the same. */
function tokenOf(authorization: string | null): string {
  if (authorization === null || authorization.trim() === "")
    throw new Failure("invalid-credentials", "E20006: Authorization header not provided");
  const [scheme = "", ...rest] = authorization.trim().split(" ");
  const token = rest.join(" ").trim();
  if (!/^(bearer|backendai)$/i.test(scheme))
    throw new Failure("invalid-credentials", `E20007: Unsupported authorization method ${shown(scheme, token)}`);
  // One spelling only: each would be remembered.
  if (!JWT.test(token)) throw invalid(UNREADABLE);
  return token;
}

/** A scheme's name. Anything else, and a word with nothing behind it, may be a token without one, which is not for the log. */
function shown(scheme: string, token: string): string {
  return token !== "" && /^[a-z]{1,20}$/i.test(scheme) ? scheme : "(none: wanted `Bearer TOKEN`)";
}

function invalid(reason: string): Failure {
  return new Failure("invalid-credentials", `E20008: Invalid authorization token (${reason})`);
}

/** In a few words of ours: the library's may name claims, and a failed check must look the same each time. */
function why(error: unknown): string {
  if (error instanceof errors.JWTExpired) return EXPIRED;
  if (error instanceof errors.JWSSignatureVerificationFailed) return "its signature is wrong";
  if (error instanceof errors.JWTClaimValidationFailed) return `its claim ${error.claim} is missing or wrong`;
  return UNREADABLE;
}
