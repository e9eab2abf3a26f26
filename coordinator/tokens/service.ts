/** `POST /v2/conf`: the Manager names a kernel and gets a token with which a person may open circuits to it. */
import { takeOverKernels, type KernelLink } from "../circuits/end-routes.ts";
import type { Commit } from "../delivery/commit.ts";
import type { Caller, Query } from "../store/store.ts";
import { Failure } from "../../shared/failure.ts";
import { kernelHost } from "../../shared/http/kernel.ts";
import type { ConfRequest } from "../../shared/protocol/schema/api.ts";
import type { Deps } from "../deps.ts";
import type { TargetService } from "../targets/service.ts";
import { getToken, insertToken, isOutdated, type TokenRow } from "../store/tokens.ts";

export interface ConfService {
  /**
   * Stores the kernel with the Manager's request id and gives the token. Ends other sessions' ways to that kernel, and
   * resolves when their workers' nodes know of that.
   */
  configure(request: ConfRequest, by: Caller): Promise<string>;
  /** The token of a session. Rejects when it is unknown, expired or of another session. */
  redeem(id: string, sessionId: string): Promise<TokenRow>;
  /**
   * Throws, as `redeem` does, when the token was taken away since (its session has ended), and when its kernel's address
   * was given to another session since.
   */
  revalidate(q: Query, token: TokenRow): void;
}

export function createConfService(
  { config, database, now, newId, log }: Deps,
  { commit, targets }: { commit: Commit; targets: TargetService },
): ConfService {
  const lifetime = config.proxy_coordinator.token_lifetime * 1000;
  return {
    async configure(request, by) {
      const target = { host: request.kernel_host, port: request.kernel_port };
      const fault = (await targets.judge([target]))(target);
      if (fault !== null) throw new Failure("invalid-api-params", `kernel_host: ${fault}`);
      const { session } = request;
      if (session.id == null || (session.access_key ?? "") === "") {
        const wanted = session.id == null ? "session.id: wanted a UUID" : "session.access_key: wanted text";
        throw new Failure("invalid-api-params", `Not meant for inference apps (${wanted}, got none)`);
      }
      const id = newId();
      const known = {
        kernelHost: kernelHost(request.kernel_host),
        kernelPort: request.kernel_port,
        sessionId: session.id.toLowerCase(),
        userId: session.user_uuid.toLowerCase(),
        projectId: (session.project_id ?? session.group_id)?.toLowerCase() ?? null,
        accessKey: session.access_key ?? "",
        domainName: session.domain_name ?? null,
        originRequestId: by.requestId,
      };
      // The platform says whose kernel is at this address: whoever was there before leads into it no more.
      const { settled } = await commit(by, (tx) => {
        const createdAt = tx.cause.now;
        insertToken(tx, { id, ...known, createdAt, expiresAt: createdAt + lifetime });
        takeOverKernels(tx, [kernelOf(known)]);
      });
      await settled();
      log.info({ session: session.id, origin_request_id: by.requestId, peer: by.peer }, "token issued");
      return id;
    },
    async redeem(id, sessionId) {
      const token = await database.read((q) => getToken(q, id.toLowerCase()));
      // An expired token and one that never was look the same.
      if (token === undefined || token.expiresAt <= now()) throw unknownToken();
      if (token.sessionId !== sessionId.toLowerCase())
        throw new Failure("invalid-credentials", { msg: "E20007: Session ID mismatch", page: "other-session" });
      return token;
    },
    revalidate(q, token) {
      if (getToken(q, token.id) === undefined) throw unknownToken();
      if (isOutdated(q, token)) throw recycled();
    },
  };
}

// --- internal ---

function kernelOf({
  sessionId,
  kernelHost,
  kernelPort,
}: Pick<TokenRow, "sessionId" | "kernelHost" | "kernelPort">): KernelLink {
  return { session_id: sessionId, kernel_host: kernelHost, kernel_port: kernelPort };
}

/** A token of a session that has ended, and nobody has said so. */
export function recycled(): Failure {
  return new Failure("invalid-credentials", {
    msg: "token: its kernel's address is another session's by now",
    page: "session-over",
  });
}

/** As the original's, and no more: callers take 401 for a wrong secret of theirs. */
function unknownToken(): Failure {
  return new Failure("object-not-found", { object: "token", page: "link-expired" });
}
