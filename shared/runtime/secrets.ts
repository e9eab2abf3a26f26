/** Comparing, naming and judging secrets. Used by both services at start and by the coordinator on every API call. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** Constant-time comparison of two texts of any length. */
export function sameSecret(a: string, b: string): boolean {
  // Hashing first gives equal lengths, so the comparison tells nothing about the length either.
  return timingSafeEqual(createHash("sha256").update(a).digest(), createHash("sha256").update(b).digest());
}

/** A short name of a secret, of which nothing of it can be learned: by it the services say which ones they know. */
export function secretId(secret: string): string {
  return createHash("sha256").update(`appproxy key id\n${secret}`).digest("hex").slice(0, 8);
}

/** A new secret of 192 random bits. */
export function newSecret(): string {
  return randomBytes(24).toString("hex");
}

/** What is wrong with a secret, or null. Sample values of the documentation count as wrong. */
export function weakness(secret: string): string | null {
  if (secret === "") return "is missing";
  if (secret.length < 16) return `is only ${secret.length} long`;
  if (/^(some_|sample|example|change_?me|secret)/i.test(secret)) return "is a well-known sample value";
  if (new Set(secret).size < 4) return "repeats the same few characters";
  return null;
}
