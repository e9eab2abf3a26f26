/**
 * The JSON web tokens of the platform: setup tokens (coordinator → worker) and API tokens. HS256 only.
 * Made and read with jose; errors never hold the token or the secret.
 */
import { errors, jwtVerify, SignJWT, type JWTPayload, type JWTVerifyOptions } from "jose";

/** Anything longer is refused before it is parsed. Bytes. */
export const MAX_JWT_BYTES = 4096;

/** What the coordinator says about a person who may enter a circuit. */
export interface SetupClaims {
  /** The id of the `/v2/conf` token, kept for the original's workers. */
  id: string;
  circuit: string;
  redirect: string;
  /** Where the person opens apps; the original's workers pass over it. */
  home?: string;
}

/** The secret that verifies, or several: those before it too. */
export type Verifying = string | readonly string[];

/** Seconds that a setup token lives: a redirect is followed at once. */
export const SETUP_LIFETIME = 60;

/** Seconds. */
const CLOCK_DIFFERENCE = 10;
/** 9999-12-31, in epoch seconds: what lies behind it is no time that anybody meant. */
const LAST_TIME = 253_402_300_799;
/** How long a token counts beyond its `exp`. Seconds. */
const CLOCK_TOLERANCE = 5;

/** Mints a setup token. No `aud` claim: the original's worker refuses one. */
export function mintSetupToken(claims: SetupClaims, secret: string, jti: string, now: number): Promise<string> {
  const issued = Math.floor(now / 1000);
  return (
    new SignJWT({ ...claims, version: "v2", jti })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      // The original refuses a token from the future, and its clock may be behind ours.
      .setIssuedAt(issued - CLOCK_DIFFERENCE)
      .setExpirationTime(issued + SETUP_LIFETIME)
      .sign(key(secret))
  );
}

/** Mints a token with which clients use a model service. `exp` in epoch seconds. */
export function mintInferenceToken(claims: JWTPayload, exp: number, secret: string): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" }).setExpirationTime(exp).sign(key(secret));
}

/**
 * Verifies the signature alone: the age of a setup token counts up to its first use. Ask `isExpired` for that.
 * Throws jose's error; its message holds no token.
 */
export function verifySetupToken(token: string, secrets: Verifying): Promise<JWTPayload> {
  return verified(token, secrets, { clockTolerance: Number.MAX_SAFE_INTEGER });
}

/** Whether a token's time is over; one without `exp` has none. `now` in epoch milliseconds. */
export function isExpired(exp: number | undefined, now: number): boolean {
  return exp !== undefined && exp <= Math.floor(now / 1000) - CLOCK_TOLERANCE;
}

/**
 * Verifies signature and `exp` and gives the claims. `now` in epoch milliseconds. Throws jose's error, or one for a time that
 * is none (`1e309` reads as infinity, which never comes); neither message holds a token.
 */
export async function verifyJwt(
  token: string,
  secrets: Verifying,
  requiredClaims: string[] = [],
  now: () => number = Date.now,
): Promise<JWTPayload> {
  const claims = await verified(token, secrets, {
    requiredClaims,
    clockTolerance: CLOCK_TOLERANCE,
    currentDate: new Date(now()),
  });
  if (claims.exp !== undefined && claims.exp > LAST_TIME) throw new Error("exp: wanted epoch seconds");
  return claims;
}

// --- internal ---

/** With the first secret that has signed it; what no secret has signed fails as with the first. */
async function verified(token: string, secrets: Verifying, options: JWTVerifyOptions): Promise<JWTPayload> {
  if (token.length > MAX_JWT_BYTES) throw new Error(`token is longer than ${MAX_JWT_BYTES} bytes`);
  let forged: unknown = new Error("no secret to verify with");
  for (const secret of [secrets].flat()) {
    try {
      return (await jwtVerify(token, key(secret), { algorithms: ["HS256"], ...options })).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      forged = error;
    }
  }
  throw forged;
}

function key(secret: string): Uint8Array {
  return new TextEncoder().encode(secret);
}
