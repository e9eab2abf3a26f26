/** Tokens and permits, genuine and made by hand: what an attacker can write without a secret, and what the product's own look like. */
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { JWT_SECRET, PERMIT_SECRET } from "../../support/manager.ts";

const ring = (secret: string) => ({ secret, previous_secrets: [], digest_mod: "sha256" });

/** As the worker issues them. */
export const permits = new PermitAuthority(ring(PERMIT_SECRET));
/** As earlier versions did. */
export const longPermits = new PermitAuthority(ring(PERMIT_SECRET), { authority: "", compact: false });
/** Those of somebody who has to guess the secret. */
export const guessed = new PermitAuthority(ring("guessed-permit-secret-0123"));
export const guessedLong = new PermitAuthority(ring("guessed-permit-secret-0123"), { authority: "", compact: false });

export interface Signing {
  secret?: string;
  header?: object;
  digest?: string;
}

/** A JWT; claims may be JSON text. */
export function jwt(claims: object | string, { secret = JWT_SECRET, header = HS256, digest = "sha256" }: Signing = {}) {
  const text = unsigned(claims, header);
  return `${text}.${createHmac(digest, secret).update(text).digest("base64url")}`;
}

export const HS256 = { alg: "HS256", typ: "JWT" };

export function unsigned(claims: object | string, header: object): string {
  const body = typeof claims === "string" ? claims : JSON.stringify(claims);
  return `${base64(JSON.stringify(header))}.${base64(body)}`;
}

const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });

/** What everybody may know of a key pair. */
export const PUBLIC_KEY = pair.publicKey.export({ type: "spki", format: "pem" });

export function rsaSigned(claims: object): string {
  const text = unsigned(claims, { alg: "RS256", typ: "JWT" });
  return `${text}.${sign("sha256", Buffer.from(text), pair.privateKey).toString("base64url")}`;
}

/** The same text with another character there; a negative place counts from the end. Of Base64 the last one has bits that do not count. */
export function changed(text: string, at: number): string {
  const place = at < 0 ? text.length + at : at;
  const other = text[place] === "A" ? "Q" : "A";
  return text.slice(0, place) + other + text.slice(place + 1);
}

/** With other claims, under the signature that it had. */
export function reclaimed(token: string, over: object): string {
  const [head = "", claims = "", mac = ""] = token.split(".");
  const read = JSON.parse(Buffer.from(claims, "base64url").toString()) as object;
  return `${head}.${base64(JSON.stringify({ ...read, ...over }))}.${mac}`;
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64url");
}
