/**
 * Texts that a worker hands out and takes back: claims as JSON, signed by a ring of keys, of which the first signs and all
 * verify. Each use has keys of its own, so that a text of one use is worth nothing for another. Pure.
 */
import { createHmac } from "node:crypto";
import { isRecord } from "../../shared/values.ts";
import { sameSecret, secretId } from "../../shared/runtime/secrets.ts";

/** Keys by their id. */
export type KeyRing = Map<string, Buffer>;

/** The keys of one use. */
export function ringOf(secrets: readonly string[], use: string): KeyRing {
  return new Map(secrets.map((secret) => [secretId(secret), derive(secret, use)]));
}

/** The key that signs. */
export function firstOf(keys: KeyRing): Buffer {
  const key = keys.values().next().value;
  if (key === undefined) throw new Error("no key to sign with");
  return key;
}

export function seal(version: string, claims: object, keys: KeyRing): string {
  const body = `${version}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  return `${body}.${createHmac("sha256", firstOf(keys)).update(body).digest("base64url")}`;
}

/** The claims of a genuine text of this version; null for anything else. */
export function unseal(version: string, text: string, keys: KeyRing): Record<string, unknown> | null {
  const [head, body, mac, more] = text.length > MAX_SEALED ? [] : text.split(".");
  if (head !== version || body === undefined || mac === undefined || more !== undefined) return null;
  // Every key is tried, whatever `kid` says, so that nothing unverified decides.
  for (const key of keys.values()) {
    const good = createHmac("sha256", key).update(`${head}.${body}`).digest("base64url");
    if (sameSecret(mac, good)) return readClaims(body);
  }
  return null;
}

/** Claims whose signature somebody else verifies, or that prove nothing. */
export function readClaims(body: string): Record<string, unknown> | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(body, "base64url").toString());
    return isRecord(claims) ? claims : null;
  } catch {
    return null; // signed, but not by a version that writes JSON here
  }
}

export const MAX_SEALED = 4096;

// --- internal ---

function derive(secret: string, use: string): Buffer {
  return createHmac("sha256", secret).update(`appproxy ${use}`).digest();
}
