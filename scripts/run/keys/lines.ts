/** New secrets as lines for the configuration files. */
import type { CoordinatorConfig } from "../../../coordinator/config.ts";
import { StartError } from "../../../shared/runtime/process.ts";
import { newSecret } from "../../../shared/runtime/secrets.ts";
import { workerJwtSecret, workerSecret } from "../../../shared/protocol/worker-secret.ts";

/** For a new installation. */
export function freshLines(): string {
  return `# app-proxy-coordinator.toml
[secrets]
api_secret = "${newSecret()}"      # the same in the Manager's configuration
jwt_secret = "${newSecret()}"
worker_secret = "${newSecret()}"   # workers' own are made of it: bun run keys --worker AUTHORITY

# app-proxy-worker.toml, with api_secret and jwt_secret as above, or with the worker's own
[permit_hash]
secret = "${newSecret()}"          # the same for all nodes of a worker
`;
}

/** A worker's own. While the coordinator's rotate, those that are made of the previous ones come along. */
export function forWorker(authority: string, secrets: CoordinatorConfig["secrets"]): string {
  const { worker_secret: root, jwt_secret: jwt, previous_worker_secrets: roots, previous_jwt_secrets: jwts } = secrets;
  if (authority === "") throw new StartError("--worker: wanted a worker's authority");
  if (root === "")
    throw new StartError("secrets.worker_secret: is missing in the coordinator's file; `bun run keys` makes one");
  const previous = (key: string, made: string[]) =>
    made.length === 0 ? "" : `${key} = [${made.map((secret) => `"${secret}"`).join(", ")}]\n`;
  return `# app-proxy-worker.toml of ${JSON.stringify(authority)}, without api_secret
[secrets]
worker_secret = "${workerSecret(root, authority)}"
${previous(
  "previous_worker_secrets",
  roots.map((one) => workerSecret(one, authority)),
)}jwt_secret = "${workerJwtSecret(jwt, authority)}"
${previous(
  "previous_jwt_secrets",
  jwts.map((one) => workerJwtSecret(one, authority)),
)}
[permit_hash]
secret = "${newSecret()}"   # the same for all nodes of this worker; one that is there already stays
`;
}
