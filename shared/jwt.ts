/**
 * The JSON web tokens of the platform: setup tokens (coordinator → worker) and API tokens. HS256 only.
 * Made and read with jose; errors never hold the token or the secret.
 */
import { jwtVerify, SignJWT, type JWTPayload } from "jose";

/** Anything longer is refused before it is parsed. Bytes. */
export const MAX_JWT_BYTES = 4096;

/** What the coordinator says about a person who may enter a circuit. */
export interface SetupClaims {
  /** The id of the `/v2/conf` token, kept for the original's workers. */
  id: string;
  circuit: string;
  redirect: string;
}

/** Seconds that a setup token lives: a redirect is followed at once. */
export const SETUP_LIFETIME = 60;

/** Seconds. */
const CLOCK_DIFFERENCE = 10;

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

/** Verifies signature and `exp` and gives the claims. `now` in epoch milliseconds. Throws jose's error; its message holds no token. */
export async function verifyJwt(
  token: string,
  secret: string,
  requiredClaims: string[] = [],
  now: () => number = Date.now,
): Promise<JWTPayload> {
  if (token.length > MAX_JWT_BYTES) throw new Error(`token is longer than ${MAX_JWT_BYTES} bytes`);
  const { payload } = await jwtVerify(token, key(secret), {
    algorithms: ["HS256"],
    requiredClaims,
    clockTolerance: 5,
    currentDate: new Date(now()),
  });
  return payload;
}

// --- internal ---

function key(secret: string): Uint8Array {
  return new TextEncoder().encode(secret);
}
