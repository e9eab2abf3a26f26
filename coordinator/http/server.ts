/** The coordinator's address: opened, and as others are told of it. */
import { readFileSync } from "node:fs";
import type { Elysia } from "elysia";
import { asciiHost } from "../../shared/http/host.ts";
import { hostPort, type Address } from "../../shared/values.ts";
import type { Deps } from "../deps.ts";

/** Opens the configured address. Throws when it can't be opened. */
export function listen(app: Elysia, { config }: Deps): Address {
  const { bind_addr: bind, tls_listen: tls, tls_cert: cert, tls_privkey: key } = config.proxy_coordinator;
  try {
    app.listen({
      hostname: bind.host,
      port: bind.port,
      // Elysia's default shares the port: a second coordinator would get half of the calls without a word.
      reusePort: false,
      development: false,
      // Bodies are limited by readBody, with an answer of ours.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // A creation may wait 15 s for its acknowledgement; Bun's default would cut it at 12 s.
      idleTimeout: 120,
      ...(tls && cert !== null && key !== null ? { tls: { cert: readFileSync(cert), key: readFileSync(key) } } : {}),
    });
  } catch (error) {
    throw new Error(`Cannot listen on ${hostPort(bind)} (proxy_coordinator.bind_addr)`, { cause: error });
  }
  return { host: bind.host, port: app.server?.port ?? bind.port };
}

/** The base URL under which others reach it. */
export function advertised(settings: Deps["config"]["proxy_coordinator"], address: Address): string {
  const { host, port } = settings.advertised_addr ?? address;
  return `${settings.tls_advertised ? "https" : "http"}://${asciiHost(host)}:${port}`;
}
