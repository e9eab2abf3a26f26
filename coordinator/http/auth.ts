/** Who may call the API: whoever holds the api_secret, or a JWT signed with it. Pure but for the JWT library. */
import { addressMatcher } from "../../shared/http/addresses.ts";
import type { OwnHosts } from "../../shared/http/own-hosts.ts";
import { Failure } from "../../shared/failure.ts";
import { verifyJwt } from "../../shared/protocol/jwt.ts";
import { sameSecret } from "../../shared/runtime/secrets.ts";
import type { CoordinatorConfig } from "../config.ts";
import { mustBeProgram } from "./tokenless.ts";

export interface Authenticator {
  /** Rejects with auth-failed unless the caller proves the api_secret. */
  api(headers: Headers): Promise<void>;
  /**
   * As `api`, but a Manager without a token may come from a configured address, as a program. `peer` is the connection's address.
   * Rejects with auth-failed or misdirected-request.
   */
  manager(headers: Headers, peer: string | null): Promise<void>;
}

/** `hosts`: what a caller without a secret may call this service. */
export function createAuthenticator(config: CoordinatorConfig, hosts: OwnHosts): Authenticator {
  const { api_secret: secret } = config.secrets;
  const { manager_cidrs: cidrs, allow_unauthorized_configure_request: anyone } = config.proxy_coordinator;
  const isManager = addressMatcher(cidrs);

  async function api(headers: Headers): Promise<void> {
    const token = headers.get("x-backendai-token");
    const bearer = /^bearer +(.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    if (token !== null) return checkToken(token, secret);
    if (bearer === undefined)
      throw new Failure("auth-failed", "wanted X-BackendAI-Token, or Authorization: Bearer with a JWT");
    try {
      await verifyJwt(bearer, secret, ["exp"]);
    } catch (error) {
      throw new Failure("auth-failed", { msg: "the JWT is not valid", cause: error });
    }
  }

  const holdsSecret = (headers: Headers) =>
    api(headers).then(
      () => true,
      () => false, // counts as without a secret
    );

  return {
    api,
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

function checkToken(given: string, secret: string): void {
  const token = given.replace(/^(Bearer|BackendAI) +/i, "");
  if (!sameSecret(token, secret)) throw new Failure("auth-failed", "X-BackendAI-Token is not the api_secret");
}
