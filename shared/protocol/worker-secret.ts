/**
 * A worker's own secrets, made from the coordinator's. Who has them is that worker and nobody else: the name is in the secret,
 * and the coordinator makes the same one again from the name, so that it needs no list of workers. `bun run keys --worker`
 * makes them for an operator; auth.ts, events' keys and setup tokens ask here.
 */
import { createHmac } from "node:crypto";

/** With which a worker calls the coordinator and signs its events. `secret` is the coordinator's `secrets.worker_secret`. */
export function workerSecret(secret: string, authority: string): string {
  const name = Buffer.from(authority).toString("base64url");
  return `${VERSION}.${name}.${derive(secret, "worker secret", authority)}`;
}

/** The worker that such a secret names, unproved; null for any other text. */
export function authorityOf(secret: string): string | null {
  const name = FORM.exec(secret)?.[1];
  if (name === undefined) return null;
  const authority = Buffer.from(name, "base64url").toString();
  // One text for each name.
  return Buffer.from(authority).toString("base64url") === name ? authority : null;
}

/** With which tokens for one worker's circuits are signed. `secret` is the coordinator's `secrets.jwt_secret`. */
export function workerJwtSecret(secret: string, authority: string): string {
  return derive(secret, "worker jwt secret", authority);
}

// --- internal ---

const VERSION = "worker1";
/** A name has at most 255 characters, of up to three bytes each. */
const FORM = /^worker1\.([A-Za-z0-9_-]{1,1020})\.[A-Za-z0-9_-]{43}$/;

function derive(secret: string, use: string, authority: string): string {
  return createHmac("sha256", secret).update(`appproxy ${use}\n${authority}`).digest("base64url");
}
