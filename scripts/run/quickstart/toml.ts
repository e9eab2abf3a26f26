/** The quickstart's configuration files, as an operator would write them. */
import { newSecret } from "../../../shared/runtime/secrets.ts";
import { stringify } from "smol-toml";
import type { Options } from "./options.ts";
import type { Ports } from "./ports.ts";

export function quickstartToml({
  host,
  ports,
  database,
  redis,
}: {
  host: string;
  ports: Ports;
  database: string;
  redis: Options["redis"];
}) {
  const secrets = { api_secret: newSecret(), jwt_secret: newSecret() };
  const shared = {
    secrets,
    ...(redis === null ? {} : { redis: { addr: { host: redis.host, port: redis.port }, password: redis.password } }),
  };
  return {
    coordinator: stringify({
      ...shared,
      db: { path: database },
      // The link is to work for as long as somebody looks at it.
      proxy_coordinator: { bind_addr: `${host}:${ports.coordinator}`, token_lifetime: 86_400 },
    }),
    worker: stringify({
      ...shared,
      permit_hash: { secret: newSecret() },
      proxy_worker: {
        coordinator_endpoint: `http://${host}:${ports.coordinator}`,
        authority: "quickstart",
        api_bind_addr: `${host}:${ports.workerApi}`,
        shutdown_timeout: 1,
        port_proxy: { bind_host: host, bind_port_range: ports.circuits },
      },
    }),
  };
}
