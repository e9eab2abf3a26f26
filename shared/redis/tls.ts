/**
 * TLS with Redis and Sentinels: what a connection is told of it, and which key of the configuration is to blame when none
 * comes about. Whether the files are good was looked at before, in config/redis.ts.
 */
import { readFileSync } from "node:fs";
import { connect, type ConnectionOptions } from "node:tls";
import type { Address } from "../values.ts";

/** The keys of a section about TLS; those that are not there are at their defaults. */
export interface TlsSettings {
  tls?: boolean;
  use_tls?: boolean;
  tls_ca?: string | null;
  tls_server_name?: string | null;
  tls_cert?: string | null;
  tls_privkey?: string | null;
  tls_skip_verify?: boolean;
}

/** Null where none is wanted. Throws when a file can't be read. */
export function tlsOf(settings: TlsSettings): ConnectionOptions | null {
  if (settings.tls !== true && settings.use_tls !== true) return null;
  const file = (path: string | null | undefined) => (path == null ? undefined : readFileSync(path, "utf8"));
  const given = {
    ca: file(settings.tls_ca),
    servername: settings.tls_server_name ?? undefined,
    cert: file(settings.tls_cert),
    key: file(settings.tls_privkey),
  };
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { ...options, rejectUnauthorized: settings.tls_skip_verify !== true };
}

/** Why TLS does not come about with an address; null when it does. Never rejects. */
export function tlsFault({ host, port }: Address, tls: ConnectionOptions): Promise<Error | null> {
  const { promise, resolve } = Promise.withResolvers<Error | null>();
  const socket = connect({ ...tls, host, port });
  socket.setTimeout(TIMEOUT_MS, () => resolve(new Error("ETIMEDOUT")));
  socket.once("secureConnect", () => resolve(null));
  socket.once("error", resolve);
  return promise.finally(() => socket.destroy());
}

/** Which key an operator should look at when a connection fails with this; undefined where that can't be said. */
export function keyToBlame(error: NodeJS.ErrnoException, section: string, isTls: boolean): string | undefined {
  const text = `${error.code ?? ""} ${error.message}`;
  const key = CAUSES.find(({ pattern, when }) => pattern.test(text) && (when === undefined || when === isTls))?.key;
  return key?.replaceAll("$", section);
}

// --- internal ---

const TIMEOUT_MS = 2000;

/** By code or text, as Bun and Redis 7 write them. `$` stands for the section. */
const CAUSES: { pattern: RegExp; when?: boolean; key: string }[] = [
  { pattern: /ALTNAME/i, key: "$.tls_server_name: the certificate of Redis is for another name" },
  {
    pattern: /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA/i,
    key: "$.tls_cert, $.tls_privkey: Redis wants a certificate of ours",
  },
  {
    pattern: /CERT|UNABLE_TO_|SELF.SIGNED/i,
    key: "$.tls_ca: nobody named there has signed the certificate of Redis, or it has expired",
  },
  { pattern: /WRONGPASS|NOAUTH|invalid password/, key: "$.username, $.password: Redis refuses them" },
  { pattern: /NOPERM/, key: "$.username: this user lacks a right (docs/redis.md)" },
  { pattern: /ETIMEDOUT|WRONG_VERSION/, when: true, key: "$.tls: perhaps Redis speaks no TLS there" },
  { pattern: /ECONNRESET|Connection is closed/, when: false, key: "$.tls: perhaps Redis wants TLS there" },
];
