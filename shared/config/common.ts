/** The sections of configuration that both services have, and the rules for their secrets. */
import { isRange } from "../http/addresses.ts";
import { isUrlHost } from "../http/host.ts";
import { LOG_LEVELS } from "../runtime/log.ts";
import { sameSecret, weakness } from "../runtime/secrets.ts";
import * as f from "./fields.ts";
import type { Fault } from "./load.ts";

export const secretsSection = {
  api_secret: f.secret("Shared by Manager, coordinator and workers; authenticates API calls and signs events"),
  previous_api_secrets: f.previousSecrets("Those before it, which still count, for rotation"),
  jwt_secret: f.secret("Shared by coordinator and workers; signs setup tokens, and tokens of model services"),
  previous_jwt_secrets: f.previousSecrets("Those before it, whose tokens still count, for rotation"),
};

export const eventsSection = {
  accept_unsigned: f.flag(false, "Take events without our signature: needed while a peer is the Python original"),
};

export const otelSection = {
  enabled: f.flag(
    false,
    "Of the original; `true` gives a warning: traces are not exported, and figures are at `/metrics`",
  ),
};

/** What a file asks for and this version leaves out without harm: told at start and by `--check`. */
export function warningsOf({ otel }: { otel: { enabled: boolean } }): string[] {
  return otel.enabled
    ? ["otel.enabled: true was given, but this version exports no telemetry; /metrics has figures"]
    : [];
}

const level = f.oneOf(LOG_LEVELS, "info", "Least level that is written");

export const loggingSection = {
  // The original's NOTSET keeps nothing back.
  level: { ...level, parse: (raw: unknown) => level.parse(raw === "NOTSET" ? "trace" : raw) },
};

export const debugSection = {
  enabled: f.flag(false, "Development only: weak secrets give a warning instead of stopping the start"),
};

/** A list of addresses and CIDR ranges. */
export function cidrs(fallback: readonly string[], description: string): f.Field<string[]> {
  return f.texts(fallback, "addresses or CIDR ranges, such as 10.0.0.0/8", description, isRange);
}

/** More names of a service. `where`: for which calls they count, `known`: the keys whose hosts count anyway. */
export function allowedHosts(where: string, known: string): f.Field<string[]> {
  return f.texts(
    [],
    "a list of host names without ports, such as proxy.example.com",
    `More names that a caller on this machine may have in \`Host\`, for ${where}. Known without it: addresses, localhost, this machine's names, the hosts of ${known}`,
    (name) => isUrlHost(name),
  );
}

/** A service's secrets by key; of keys that name previous ones, all of them. */
export type NamedSecrets = Record<string, string | readonly string[]>;

/**
 * Faults of the secrets: missing, short, well-known or equal to one another. Never shows one. An old one that is weak opens
 * what the new one opens. That a secret is among its own previous ones does no harm.
 */
export function secretFaults(secrets: NamedSecrets): Fault[] {
  const named = Object.entries(secrets).flatMap(([key, value]) => [value].flat().map((secret) => ({ key, secret })));
  const faults = named.flatMap(({ key, secret }, at): Fault[] => {
    const weak = weakness(secret);
    if (weak !== null)
      return [{ key, message: `${weak}; wanted at least 16 random characters, such as \`bun run keys\` prints` }];
    const twin = named
      .slice(0, at)
      .find((other) => useOf(other.key) !== useOf(key) && sameSecret(other.secret, secret));
    return twin === undefined ? [] : [{ key, message: `is the same as ${twin.key}; wanted a secret of its own` }];
  });
  return faults.filter(({ key }, at) => faults.findIndex((one) => one.key === key) === at);
}

/** Weak secrets stop the start, except with `debug.enabled`; missing ones always do. */
export function secretStoppers(secrets: NamedSecrets, debug: boolean): Fault[] {
  return secretFaults(secrets).filter(({ message }) => !debug || message.startsWith("is missing"));
}

/** TLS needs its certificate and key. */
export function tlsFaults(
  section: string,
  tls: { tls_listen: boolean; tls_cert: string | null; tls_privkey: string | null },
): Fault[] {
  if (!tls.tls_listen) return [];
  return (["tls_cert", "tls_privkey"] as const)
    .filter((key) => tls[key] === null)
    .map((key) => ({ key: `${section}.${key}`, message: "is missing; wanted a file, because tls_listen is true" }));
}

/** Where TLS is listened for, https is handed out too, as the original does: an http URL to that port leads nowhere. */
export function impliedTls<T extends { tls_listen: boolean; tls_advertised: boolean }>(section: T): T {
  return { ...section, tls_advertised: section.tls_advertised || section.tls_listen };
}

/** TLS keys shared by both services. */
export const tlsKeys = {
  tls_listen: f.flag(false, "Listen with TLS"),
  tls_cert: f.optionalText("File of the certificate chain (PEM)"),
  tls_privkey: f.optionalText("File of the private key (PEM)"),
  tls_advertised: f.flag(false, "Hand out https URLs (also when a load balancer ends TLS)"),
};

// --- internal ---

/** The key of the secret that a key's previous ones were: they have one use. */
function useOf(key: string): string {
  return key.replace(/\.previous_(\w+)s$/, ".$1");
}
