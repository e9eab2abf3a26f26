/** Which secrets count at a worker: its own, where it has some, the platform's, and those before them. The first of each list signs. */
import type { EventKeys } from "../../shared/protocol/envelope.ts";
import type { WorkerConfig } from "../config/table.ts";

type Secrets = Pick<WorkerConfig, "secrets" | "proxy_worker">;

/** With which the coordinator is called, and events are signed: one that it knows is among them. */
export function callSecrets({ secrets }: Pick<Secrets, "secrets">): string[] {
  const {
    worker_secret: own,
    previous_worker_secrets: ownBefore,
    api_secret: api,
    previous_api_secrets: before,
  } = secrets;
  return [own, ...ownBefore, api, ...before].filter((secret) => secret !== "");
}

/** Of which tokens count. */
export function jwtSecrets({ secrets }: Pick<Secrets, "secrets">): string[] {
  return [secrets.jwt_secret, ...secrets.previous_jwt_secrets];
}

/** With a secret of its own a worker can't tell whether other workers' events are genuine. */
export function eventKeys(config: Secrets): EventKeys {
  const { secrets, proxy_worker: own } = config;
  return { of: () => callSecrets(config), own: secrets.worker_secret === "" ? null : own.authority };
}
