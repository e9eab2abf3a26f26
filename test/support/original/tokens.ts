/** The original's tokens and cookie: what its coordinator mints and what its worker accepts. */
import { createHmac } from "node:crypto";
import { jwtVerify, SignJWT, type JWTPayload } from "jose";

export const PERMIT_COOKIE = "appproxy_permit";

/** A JWT with these claims and no others. */
export function mint(claims: JWTPayload, secret: string): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(key(secret));
}

/** `jwt.decode(token, secret, ["HS256"])` of PyJWT: without an audience of its own it refuses a token that names one. */
export async function decode(token: string, secret: string): Promise<JWTPayload> {
  const { payload } = await jwtVerify(token, key(secret), { algorithms: ["HS256"], clockTolerance: 0 });
  if (payload.aud !== undefined) throw new Error("Invalid audience");
  if (payload.iat !== undefined && payload.iat > Date.now() / 1000) throw new Error("The token is not yet valid (iat)");
  return payload;
}

/** The cookie's value: base64 of the ASCII hex of the HMAC of a user's id. */
export function permitOf(userId: string, secret: string, digest = "sha256"): string {
  return btoa(createHmac(digest, secret).update(userId).digest("hex"));
}

/** The permit in a `Cookie` header, with or without quotes as Python's cookies read it; null when there is none. */
export function permitIn(header: string | null): string | null {
  const pairs = (header ?? "").split(";").map((pair) => pair.trim());
  const value = pairs.find((pair) => pair.startsWith(`${PERMIT_COOKIE}=`))?.slice(PERMIT_COOKIE.length + 1);
  return value?.replace(/^"(.*)"$/, "$1") ?? null;
}

// --- internal ---

function key(secret: string): Uint8Array {
  return new TextEncoder().encode(secret);
}
