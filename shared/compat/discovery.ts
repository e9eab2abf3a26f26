/**
 * The original's service discovery: an entry in Redis database 0 for each service that runs, of which the Manager makes
 * Prometheus targets. Keys, fields, life and refresh as of 26.9.6. Redis being away does no harm: it is written again when it
 * is back. Called by the two run.ts.
 */
import type { Redis } from "ioredis";
import { type Address, hostPort } from "../values.ts";
import { reason } from "../failure.ts";
import type { Log } from "../runtime/log.ts";
import { VERSION } from "../runtime/version.ts";

export interface Discovery {
  /** Takes the entry away, unless another process at the same address has written it since; closes the connection. */
  stop(): Promise<void>;
}

export interface Announced {
  group: "appproxy-coordinator" | "appproxy-worker";
  /** Such as the worker's authority. */
  name: string;
  /** Where Prometheus finds `/metrics`. */
  address: Address;
}

export const DISCOVERY_DB = 0;

/** Announces a service until it is stopped. Takes over the connection. */
export function announce(redis: Redis, { group, name, address }: Announced, log: Log): Discovery {
  const target = hostPort(address);
  // The original's id: the same for all processes that share an address (uuid5 of it), so that it is one target.
  const id = Bun.randomUUIDv5(`${group}/${target}`, "dns");
  const key = `service_discovery.${group}.${id}`;
  const registered = Date.now() / 1000;
  const fields = Object.entries({
    id,
    display_name: `${group}-${name}`,
    service_group: group,
    version: VERSION,
    endpoint: { address: address.host, port: address.port, protocol: "http", prometheus_address: target },
    labels: {},
  }).flatMap(([field, value]) => [field, JSON.stringify(value)]);

  const write = () => {
    const health = JSON.stringify({ registration_time: registered, last_heartbeat: Date.now() / 1000 });
    redis.eval(WRITE, 1, key, registered, TTL_SECONDS, ...fields, "health_status", health).catch((error: unknown) => {
      log.debug({ reason: reason(error) }, "cannot announce this service to the platform's monitoring");
    });
  };
  const timer = setInterval(write, REFRESH_MS);
  redis.on("ready", write);
  if (redis.status === "ready") write();
  return {
    async stop() {
      clearInterval(timer);
      redis.off("ready", write);
      await redis.eval(REMOVE, 1, key, registered).catch((error: unknown) => {
        log.debug({ reason: reason(error) }, "cannot remove this service's discovery entry; it expires by itself");
      });
      redis.disconnect();
    },
  };
}

/** The address for monitoring: the one that is configured, else where it listens, unless that is every address. */
export function announcedAddress(announced: Address | null, bound: Address, advertised: Address | null): Address {
  if (announced !== null) return announced;
  return advertised !== null && ["0.0.0.0", "::"].includes(bound.host) ? advertised : bound;
}

// --- internal ---

const TTL_SECONDS = 180;
const REFRESH_MS = 60_000;

const REGISTERED = `
local function registered()
  local held = redis.call("HGET", KEYS[1], "health_status")
  local ok, health = pcall(cjson.decode, held or "{}")
  return ok and type(health) == "table" and tonumber(health.registration_time) or 0
end`;
/** A process that is being replaced must not overwrite, nor remove, the entry of the one that replaces it. */
const WRITE = `${REGISTERED}
if registered() > tonumber(ARGV[1]) then return 0 end
redis.call("HSET", KEYS[1], unpack(ARGV, 3))
return redis.call("EXPIRE", KEYS[1], ARGV[2])`;
const REMOVE = `${REGISTERED}
if registered() > tonumber(ARGV[1]) then return 0 end
return redis.call("DEL", KEYS[1])`;
