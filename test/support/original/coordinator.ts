/**
 * A coordinator as the Python original is one, for what a worker sees of it: HTTP calls, unsigned events, setup and inference
 * tokens. There is no Manager's API here: a test asks for circuits directly.
 */
import { Redis } from "ioredis";
import { answerCall, freePorts, type OldState, type OldWorkerRow } from "./coordinator-api.ts";
import { openOldBus, type OldBus } from "./events.ts";
import { mint } from "./tokens.ts";
import { asObject, asToday, pythonTime, type Json, type OldCircuit, type OldRoute } from "./wire.ts";

export interface OldCoordinatorSettings {
  redisPort: number;
  apiSecret: string;
  jwtSecret: string;
  /** How long a creation waits for a worker's acknowledgement. Milliseconds. */
  ackTimeout?: number;
}

export interface AppWish {
  kernel_port: number;
  kernel_host?: string | null;
  /** Which worker gets it; the first one when none is named. */
  authority?: string;
  user_id?: string | null;
  protocol?: string;
  redirect?: string;
  open_to_public?: boolean;
}

export interface OldOpened {
  circuit: OldCircuit;
  /** `/setup?token=` at the worker. */
  link: string;
}

export interface OldCoordinator {
  url: string;
  state: OldState;
  /** Ids of circuits in the order in which workers have acknowledged them. */
  acknowledged: string[];
  /** Rejects with E10001 when no worker acknowledges. */
  openApp(wish: AppWish): Promise<OldOpened>;
  /** A model service: no routes at first. */
  openService(wish: Omit<AppWish, "kernel_port" | "redirect">): Promise<OldCircuit>;
  /** Tells the worker of other kernels; nobody acknowledges that. */
  updateRoutes(id: string, routes: OldRoute[]): Promise<void>;
  remove(id: string): Promise<void>;
  /** The same, in the moment in which every listener's connection to Redis breaks. Gives how many heard of it. */
  removeUnheard(id: string): Promise<number>;
  /** A setup link for a circuit: never expires, may be used again. */
  link(circuit: OldCircuit, redirect?: string): Promise<string>;
  inferenceToken(circuit: OldCircuit, user?: string): Promise<string>;
  /** Stops answering and hearing. */
  stop(): Promise<void>;
  /** Comes back at the same address, with its database or with an empty one. */
  start(database: "kept" | "lost"): Promise<void>;
}

const ACK_TIMEOUT_MS = 15_000;
const LIVE_DB = 2;

export async function startOldCoordinator(settings: OldCoordinatorSettings): Promise<OldCoordinator> {
  const { redisPort, apiSecret, jwtSecret, ackTimeout = ACK_TIMEOUT_MS } = settings;
  const state: OldState = { workers: new Map(), circuits: new Map(), writes: asToday };
  const waiting = new Map<string, () => void>();
  const acknowledged: string[] = [];
  let bus: OldBus;
  let live: Redis;
  let server: Bun.Server<undefined>;
  let port = 0;

  async function start(): Promise<void> {
    bus = await openOldBus(redisPort, "appproxy-coordinator", hear);
    live = new Redis(redisPort, "127.0.0.1", { db: LIVE_DB });
    const seen = async (authority: string) =>
      void (await live.hset("proxy-worker.last_seen", authority, String(Date.now() / 1000)));
    const fetch = (request: Request) => answerCall(request, { state, apiSecret, remove, seen });
    server = Bun.serve({ hostname: "127.0.0.1", port, fetch });
    port = server.port ?? 0;
  }

  async function stop(): Promise<void> {
    await server.stop(true);
    bus.close();
    live.disconnect();
  }

  function hear(name: string, { circuits }: Json): void {
    if (name !== "appproxy_worker_circuit_added_event" || !Array.isArray(circuits)) return;
    for (const one of circuits) {
      const id = String(asObject(one, "circuit")["id"]);
      acknowledged.push(id);
      waiting.get(id)?.();
    }
  }

  async function record(wish: Omit<AppWish, "kernel_port">, more: Partial<OldCircuit>): Promise<OldCircuit> {
    const worker = chosen(wish.authority);
    const now = pythonTime(new Date());
    const circuit: OldCircuit = {
      id: crypto.randomUUID(),
      app: "",
      protocol: wish.protocol ?? "http",
      worker: worker.id,
      app_mode: "interactive",
      frontend_mode: "port",
      envs: {},
      arguments: null,
      open_to_public: wish.open_to_public ?? false,
      allowed_client_ips: null,
      port: freePorts(state, worker)[0] ?? null,
      subdomain: null,
      user_id: wish.user_id === undefined ? USER : wish.user_id,
      endpoint_id: null,
      runtime_variant: null,
      route_info: [],
      session_ids: [],
      created_at: now,
      updated_at: now,
      ...more,
    };
    state.circuits.set(circuit.id, circuit);
    const served = Promise.withResolvers<void>();
    waiting.set(circuit.id, served.resolve);
    const late = setTimeout(() => served.reject(new Error("E10001: Proxy worker not responding")), ackTimeout);
    try {
      await Promise.all([served.promise, tell("appproxy_circuit_created_event", circuit)]);
    } catch (error) {
      state.circuits.delete(circuit.id);
      throw error;
    } finally {
      clearTimeout(late);
      waiting.delete(circuit.id);
    }
    return circuit;
  }

  function chosen(authority: string | undefined): OldWorkerRow {
    const row = [...state.workers.values()].find((one) => authority === undefined || one.authority === authority);
    if (row === undefined) throw new Error("no such worker");
    return row;
  }

  function known(id: string): OldCircuit {
    const circuit = state.circuits.get(id);
    if (circuit === undefined) throw new Error(`no circuit ${id}`);
    return circuit;
  }

  const authorityOf = ({ worker }: OldCircuit) => state.workers.get(worker)?.authority ?? "";
  const payload = (circuit: OldCircuit): Json => ({
    target_worker_authority: authorityOf(circuit),
    circuits: [state.writes(circuit)],
  });
  const tell = (name: string, circuit: OldCircuit) => bus.publish(name, payload(circuit));

  function forget(id: string): OldCircuit {
    const circuit = known(id);
    state.circuits.delete(id);
    return circuit;
  }

  async function remove(id: string): Promise<void> {
    await tell("appproxy_circuit_removed_event", forget(id));
  }

  async function link({ id, worker }: OldCircuit, redirect = ""): Promise<string> {
    const { hostname, api_port: apiPort } = state.workers.get(worker)?.registration ?? {};
    const token = await mint({ id: crypto.randomUUID(), version: "v2", redirect, circuit: id }, jwtSecret);
    return `http://${String(hostname)}:${String(apiPort)}/setup?token=${token}`;
  }

  await start();
  return {
    url: `http://127.0.0.1:${port}`,
    state,
    acknowledged,
    async openApp(wish) {
      const route = routeTo(wish.kernel_port, wish.kernel_host === undefined ? "127.0.0.1" : wish.kernel_host);
      const routes = [{ ...route, protocol: wish.protocol ?? "http" }];
      const circuit = await record(wish, { app: "jupyter", route_info: routes, session_ids: [route.session_id] });
      return { circuit, link: await link(circuit, wish.redirect) };
    },
    openService: (wish) =>
      record(wish, { app_mode: "inference", endpoint_id: crypto.randomUUID(), runtime_variant: "vllm" }),
    async updateRoutes(id, routes) {
      const circuit = known(id);
      circuit.route_info = routes;
      circuit.session_ids = routes.map((route) => route.session_id);
      circuit.updated_at = pythonTime(new Date());
      const written = asObject(state.writes(circuit), "circuit");
      await bus.publish("appproxy_circuit_route_updated_event", {
        target_worker_authority: authorityOf(circuit),
        circuit: written,
        routes: written["route_info"],
      });
    },
    remove,
    removeUnheard: (id) => bus.publishUnheard("appproxy_circuit_removed_event", payload(forget(id))),
    link,
    inferenceToken({ route_info: _routes, ...circuit }, user = USER) {
      const exp = Math.floor(Date.now() / 1000) + 3600;
      return mint({ ...circuit, app_url: `http://127.0.0.1:${circuit.port}`, user, exp }, jwtSecret);
    },
    stop,
    async start(database) {
      if (database === "lost") {
        state.workers.clear();
        state.circuits.clear();
      }
      await start();
    },
  };
}

/** A kernel as a coordinator notes it; every call is another one. */
export function routeTo(port: number, host: string | null = "127.0.0.1"): OldRoute {
  return {
    route_id: crypto.randomUUID(),
    session_id: crypto.randomUUID(),
    session_name: "mine",
    kernel_host: host,
    kernel_port: port,
    protocol: "http",
    traffic_ratio: 1,
  };
}

/** Whose circuits these are, unless somebody else is named. */
export const USER = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
