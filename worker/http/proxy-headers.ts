/**
 * Whose connections begin with a PROXY header: those of `trusted_proxies`, where `accept_proxy_protocol` is on. Tells the
 * operator of connections without one, once a while, because a proxy that is set up otherwise causes it with each.
 */
import type { AddressMatcher } from "../../shared/http/addresses.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { ProxyHeaders } from "../seam/engine.ts";
import { plainAddress } from "./client-address.ts";

/** So long nothing is said after a line in the log. Milliseconds. */
const QUIET_MS = 60_000;

/** `now`: milliseconds of a clock that never goes back. */
export function createProxyHeaders(trusted: AddressMatcher, log: Log, now: () => number): ProxyHeaders {
  let quietUntil = -Infinity;
  let unsaid = 0;
  return {
    from: trusted,
    refused(proxy, reason) {
      if (now() < quietUntil) return void unsaid++;
      const about = { key: "proxy_worker.accept_proxy_protocol", peer: plainAddress(proxy), reason, unsaid };
      log.warn(about, "a connection from trusted_proxies was reset: it did not begin with a PROXY header");
      quietUntil = now() + QUIET_MS;
      unsaid = 0;
    },
  };
}
