/**
 * A worker with circuits of any kind, in one of the shapes, with what a test has to see of it: memory, descriptors, log,
 * usage. The coordinator is a fake one; permits are made here.
 */
import type { ProxyProtocol } from "../../shared/protocol/schema/basics.ts";
import type { Circuit, Route } from "../../shared/protocol/schema/circuit.ts";
import { liveKeys } from "../../shared/live/live.ts";
import { permitCookieName } from "../../worker/access/permit-cookie.ts";
import { PermitAuthority } from "../../worker/access/permit.ts";
import type { FakeCoordinator } from "../support/fake-coordinator.ts";
import { PERMIT_SECRET } from "../support/manager.ts";
import type { RedisServer } from "../support/redis.ts";
import { circuit as baseCircuit, route, USER } from "../support/values.ts";
import { startPlace, type Place } from "./place.ts";
import { DOMAIN, type Shape, type StageOptions } from "./shapes.ts";

export interface Wish {
  /** One port for one route; several for a route each. */
  upstream?: number | number[];
  routes?: Route[];
  app?: string;
  appMode?: Circuit["app_mode"];
  public?: boolean;
  allowedClientIps?: string;
  protocol?: ProxyProtocol;
  /** Any other field. */
  circuit?: Partial<Circuit>;
}

/** A circuit that can be reached. */
export interface Opened {
  circuit: Circuit;
  /** TCP port to connect to, on 127.0.0.1. */
  port: number;
  /** The value for `Host`. */
  host: string;
  /** The value for `Cookie`: its permit. */
  cookie: string;
  /** For clients that take a URL; on a wildcard frontend they have to send `host` by themselves. */
  url(path: string): string;
  /** `Host` and `Cookie`. */
  headers(): [name: string, value: string][];
}

export interface Use {
  requests: number;
  /** Epoch seconds; null when it was never written. */
  lastAccess: number | null;
  /** Of each of the circuit's sessions. */
  sessions: (number | null)[];
}

export interface Stage extends Pick<Place, "rss" | "fds" | "lines" | "pid" | "ports" | "apiPort" | "stopWorker"> {
  shape: Shape;
  coordinator: FakeCoordinator;
  /** Null when messengers are inside the process. */
  redis: RedisServer | null;
  open(wish: Wish): Promise<Opened>;
  /** Replaces a circuit's routes; ports make plain ones. */
  updateRoutes(opened: Opened, routes: number[] | Route[]): Promise<void>;
  close(opened: Opened): Promise<void>;
  /** What the live data tells of a circuit's use. */
  use(opened: Opened): Promise<Use>;
  stop(): Promise<void>;
}

/** Starts a worker in this shape; resolves when it has registered and serves. */
export async function startStage(shape: Shape, options: StageOptions = {}): Promise<Stage> {
  const place = await startPlace(shape, options);
  const permits = new PermitAuthority({ secret: PERMIT_SECRET, previous_secrets: [], digest_mod: "sha256" });
  const tls = options.worker?.["tls_listen"] === true || options.worker?.["tls_advertised"] === true;
  let made = 0;

  /** The wanted port, else the next slot: a port of the range, or a name. */
  function slot(wanted: number | null): Pick<Circuit, "frontend_mode" | "port" | "subdomain"> {
    if (wanted !== null) return { frontend_mode: "port", port: wanted, subdomain: null };
    const at = made++;
    if (shape.frontend === "wildcard") return { frontend_mode: "wildcard", port: null, subdomain: `app-${at}` };
    if (at >= place.ports.count) throw new Error(`the stage has ${place.ports.count} ports; ask for more`);
    return { frontend_mode: "port", port: place.ports.low + at, subdomain: null };
  }

  function reach(circuit: Circuit): Opened {
    const port = circuit.port ?? place.wildcardPort;
    const host = circuit.subdomain === null ? `127.0.0.1:${port}` : `${circuit.subdomain}${DOMAIN}:${port}`;
    const permit = permits.issue(circuit.user_id ?? "", circuit.id, Math.floor(Date.now() / 1000), 3600);
    const cookie = `${permitCookieName(circuit.id, tls)}=${permit}`;
    return {
      circuit,
      port,
      host,
      cookie,
      url: (path) => `${tls ? "https" : "http"}://127.0.0.1:${port}${path}`,
      headers: () => [
        ["Host", host],
        ["Cookie", cookie],
      ],
    };
  }

  return {
    ...place,
    shape,
    async open(wish) {
      const circuit = circuitOf(wish, slot(wish.circuit?.port ?? null));
      await place.coordinator.put(circuit);
      return reach(circuit);
    },
    updateRoutes: ({ circuit }, routes) =>
      place.coordinator.routes(
        circuit.id,
        routes.map((one) => (typeof one === "number" ? localRoute(one, circuit) : one)),
      ),
    close: ({ circuit }) => place.coordinator.remove(circuit.id),
    async use({ circuit }) {
      const read = (key: string) => place.live(key);
      return {
        requests: (await read(liveKeys.circuitRequests(circuit.id))) ?? 0,
        lastAccess: await read(liveKeys.circuitAccess(circuit.id)),
        sessions: await Promise.all(circuit.session_ids.map((id) => read(liveKeys.sessionAccess(id)))),
      };
    },
  };
}

/** A route to an app on loopback. */
export function localRoute(port: number, { session_ids: [session] }: Pick<Circuit, "session_ids">): Route {
  return route({
    route_id: crypto.randomUUID(),
    kernel_host: "127.0.0.1",
    kernel_port: port,
    ...(session === undefined ? {} : { session_id: session }),
  });
}

// --- internal ---

function circuitOf(wish: Wish, slot: Pick<Circuit, "frontend_mode" | "port" | "subdomain">): Circuit {
  const session_ids = wish.circuit?.session_ids ?? [crypto.randomUUID()];
  const ports = [wish.upstream ?? []].flat();
  const now = new Date().toISOString();
  return baseCircuit({
    id: crypto.randomUUID(),
    app: wish.app ?? "jupyter",
    app_mode: wish.appMode ?? "interactive",
    protocol: wish.protocol ?? "http",
    open_to_public: wish.public ?? false,
    allowed_client_ips: wish.allowedClientIps ?? null,
    user_id: USER,
    session_ids,
    route_info: wish.routes ?? ports.map((port) => localRoute(port, { session_ids })),
    created_at: now,
    updated_at: now,
    ...slot,
    ...wish.circuit,
  });
}
