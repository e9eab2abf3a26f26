/**
 * Which secrets count at the coordinator: the current ones, those before them, and what workers' own are made from. The first
 * of each list signs. Used by what checks callers, signs events and mints tokens.
 */
import { secretId } from "../shared/runtime/secrets.ts";
import type { EventKeys } from "../shared/protocol/envelope.ts";
import { workerJwtSecret, workerSecret } from "../shared/protocol/worker-secret.ts";
import type { CoordinatorConfig } from "./config.ts";

type Secrets = Pick<CoordinatorConfig, "secrets">;

export function apiSecrets({ secrets }: Secrets): string[] {
  return [secrets.api_secret, ...secrets.previous_api_secrets];
}

/** The secrets that are a worker's own; none where workers have the api_secret. */
export function secretsOfWorker({ secrets }: Secrets, authority: string): string[] {
  const roots = secrets.worker_secret === "" ? [] : [secrets.worker_secret];
  return [...roots, ...secrets.previous_worker_secrets].map((root) => workerSecret(root, authority));
}

/** Events about a worker are signed with all that it may know. */
export function eventKeys(config: Secrets): EventKeys {
  return { of: (authority) => [...apiSecrets(config), ...secretsOfWorker(config, authority)], own: null };
}

/**
 * The secret with which a token for a worker's circuits is signed: the newest that all its nodes know. `known` has each node's
 * `jwt_keys`, the one that was heard last first; null for one that has not said (the original's, or an earlier version's), which
 * has the shared secrets alone. Where nodes know none together, one of them has ended unheard: those heard last count.
 */
export function jwtSecretFor(
  { secrets }: Secrets,
  authority: string,
  known: readonly (readonly string[] | null)[],
): string {
  const shared = [secrets.jwt_secret, ...secrets.previous_jwt_secrets];
  const all = shared.flatMap((secret) => [workerJwtSecret(secret, authority), secret]);
  const knows = (node: readonly string[] | null, secret: string) =>
    node === null ? shared.includes(secret) : node.includes(secretId(secret));
  for (let count = known.length; count > 0; count--) {
    const common = all.find((secret) => known.slice(0, count).every((node) => knows(node, secret)));
    if (common !== undefined) return common;
  }
  return secrets.jwt_secret;
}
