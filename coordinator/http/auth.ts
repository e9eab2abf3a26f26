/**
 * Who may call the API: whoever holds the api_secret (or one before it, while they rotate), or a JWT signed with it; a worker's
 * calls also the worker with a secret of its own. Pure but for the JWT library.
 */
import { addressMatcher } from "../../shared/http/addresses.ts";
import type { OwnHosts } from "../../shared/http/own-hosts.ts";
import { Failure } from "../../shared/failure.ts";
import { verifyJwt } from "../../shared/protocol/jwt.ts";
import { authorityOf } from "../../shared/protocol/worker-secret.ts";
import { sameSecret } from "../../shared/runtime/secrets.ts";
import type { CoordinatorConfig } from "../config.ts";
import { apiSecrets, secretsOfWorker } from "../secrets.ts";
import { mustBeProgram } from "./tokenless.ts";

export interface Authenticator {
  /** Rejects with auth-failed unless the caller proves the api_secret. */
  api(headers: Headers): Promise<void>;
  /**
   * As `api`, but a worker may come with a secret of its own. Gives the authority for which it speaks; null for who may speak
   * for all.
   */
  worker(headers: Headers): Promise<string | null>;
  /**
   * As `api`, but a Manager without a token may come from a configured address, as a program. `peer` is the connection's address.
   * Rejects with auth-failed or misdirected-request.
   */
  manager(headers: Headers, peer: string | null): Promise<void>;
}

/** `hosts`: what a caller without a secret may call this service. */
export function createAuthenticator(config: CoordinatorConfig, hosts: OwnHosts): Authenticator {
  const secrets = apiSecrets(config);
  const { manager_cidrs: cidrs, allow_unauthorized_configure_request: anyone } = config.proxy_coordinator;
  const isManager = addressMatcher(cidrs);

  async function api(headers: Headers): Promise<void> {
    const token = headers.get("x-backendai-token");
    const bearer = /^bearer +(.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    if (token !== null) return checkToken(token, secrets, ownerOf(token) !== null);
    if (bearer === undefined)
      throw new Failure("auth-failed", "wanted X-BackendAI-Token, or Authorization: Bearer with a JWT");
    try {
      await verifyJwt(bearer, secrets, ["exp"]);
    } catch (error) {
      throw new Failure("auth-failed", { msg: "the JWT is not valid", cause: error });
    }
  }

  /** The worker whose own secret this is. */
  function ownerOf(token: string): string | null {
    const authority = authorityOf(bare(token));
    if (authority === null) return null;
    return isOneOf(bare(token), secretsOfWorker(config, authority)) ? authority : null;
  }

  async function worker(headers: Headers): Promise<string | null> {
    const owner = ownerOf(headers.get("x-backendai-token") ?? "");
    if (owner === null) await api(headers);
    return owner;
  }

  const holdsSecret = (headers: Headers) =>
    api(headers).then(
      () => true,
      () => false, // counts as without a secret
    );

  return {
    api,
    worker,
    async manager(headers, peer) {
      const silent = !headers.has("x-backendai-token") && !headers.has("authorization");
      if (!anyone && !(silent && peer !== null && isManager(peer))) return api(headers);
      // Where anybody may, a wrong token says nothing: the original does not look at it.
      if (!silent && (await holdsSecret(headers))) return;
      mustBeProgram({ peer, headers }, hosts, anyone ? "anybody" : "address");
    },
  };
}

// --- internal ---

function checkToken(given: string, secrets: readonly string[], isWorkers: boolean): void {
  if (isOneOf(bare(given), secrets)) return;
  const msg = isWorkers
    ? "X-BackendAI-Token is a worker's own secret, which opens workers' calls alone"
    : "X-BackendAI-Token is not the api_secret";
  throw new Failure("auth-failed", msg);
}

function bare(token: string): string {
  return token.replace(/^(Bearer|BackendAI) +/i, "");
}

/** Compares with all, so that the time does not tell which it is. */
function isOneOf(token: string, secrets: readonly string[]): boolean {
  return secrets.filter((secret) => sameSecret(token, secret)).length > 0;
}
