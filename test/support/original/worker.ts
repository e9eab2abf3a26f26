/**
 * A worker as the Python original is one: one node without an id, heartbeats without a body, a snapshot at its start, then
 * events as they come. Acknowledges creations only. Its `/setup` lets people in with the legacy cookie at once.
 */
import { Redis } from "ioredis";
import type { AdmitSecrets } from "./admit.ts";
import { openOldBus } from "./events.ts";
import { createOldFrontends } from "./frontends.ts";
import { setup } from "./setup.ts";
import { asObject, dumps, readCircuit, readRoutes, type Json, type OldCircuit } from "./wire.ts";

export interface OldWorkerSettings extends AdmitSecrets {
  redisPort: number;
  coordinatorUrl: string;
  apiSecret: string;
  authority: string;
  ports: [low: number, high: number];
  protocol?: string;
  acceptedTraffics?: string[];
  /** Milliseconds between heartbeats. */
  heartbeatPeriod?: number;
}

export interface OldWorker {
  id: () => string;
  apiUrl: string;
  /** The circuits that it serves. */
  circuits: ReadonlyMap<string, OldCircuit>;
  /** Ports that are open. */
  ports(): number[];
  /** Names of the events that were for it. */
  heard: string[];
  /** While true, no heartbeats are sent. */
  silent: boolean;
  /** Anything that it could not read or do; tests look that it stays empty. */
  faults: unknown[];
  /** Heartbeats that reached no coordinator, by why. */
  missed: unknown[];
  /** What the answer to a heartbeat was. */
  heartbeat(): Promise<number>;
  /** As at SIGTERM: deregisters and closes everything. */
  stop(): Promise<void>;
}

export async function startOldWorker(settings: OldWorkerSettings): Promise<OldWorker> {
  const { redisPort, coordinatorUrl, apiSecret, authority } = settings;
  const circuits = new Map<string, OldCircuit>();
  const heard: string[] = [];
  const faults: unknown[] = [];
  const fault = (error: unknown) => void faults.push(error);
  const live = new Redis(redisPort, "127.0.0.1", { db: 2 });
  const frontends = createOldFrontends(settings, live, fault);
  /** Events are applied one after the other. */
  let line: Promise<unknown> = Promise.resolve();
  let id = "";
  let stopping: Promise<void> | null = null;

  const ask = (method: string, path: string, body?: Json) =>
    fetch(coordinatorUrl + path, {
      method,
      headers: {
        "X-BackendAI-Token": apiSecret,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? null : dumps(body),
    });

  async function read(method: string, path: string, body?: Json): Promise<Json> {
    const answer = await ask(method, path, body);
    if (answer.status !== 200) throw new Error(`${method} ${path} answered ${answer.status}: ${await answer.text()}`);
    return asObject(await answer.json(), path);
  }

  async function register(): Promise<void> {
    id = String((await read("PUT", "/api/worker", registration(settings, server.port ?? 0)))["id"]);
    const { circuits: snapshot } = await read("GET", `/api/worker/${id}/circuits`);
    const wanted = asList(snapshot).map(readCircuit);
    for (const known of circuits.keys()) if (!wanted.some((one) => one.id === known)) await close(known);
    for (const circuit of wanted) await open(circuit);
  }

  async function open(circuit: OldCircuit): Promise<void> {
    circuits.set(circuit.id, circuit);
    await frontends.open(circuit);
  }

  async function close(circuitId: string): Promise<void> {
    circuits.delete(circuitId);
    await frontends.close(circuitId);
  }

  async function apply(name: string, payload: Json): Promise<void> {
    heard.push(name);
    switch (name) {
      case "appproxy_circuit_created_event": {
        const created = asList(payload["circuits"]).map(readCircuit);
        for (const circuit of created) {
          // One that is told again begins anew, with all that it cut.
          await close(circuit.id);
          await open(circuit);
        }
        // What it did not understand of a circuit is not in what it says.
        await bus.publish("appproxy_worker_circuit_added_event", {
          target_worker_authority: authority,
          circuits: created,
        });
        return;
      }
      case "appproxy_circuit_route_updated_event": {
        // Of the circuit it takes nothing but the routes.
        const known = circuits.get(readCircuit(payload["circuit"]).id);
        return known === undefined ? undefined : open({ ...known, route_info: readRoutes(payload["routes"]) });
      }
      case "appproxy_circuit_removed_event":
        for (const one of asList(payload["circuits"])) await close(readCircuit(one).id);
        return;
      default:
        return;
    }
  }

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      setup(request, settings, async (circuitId) => readCircuit(await read("GET", `/api/circuit/${circuitId}`))),
  });
  const bus = await openOldBus(redisPort, "appproxy-worker", (name, payload) => {
    if (payload["target_worker_authority"] !== authority) return;
    line = line.then(() => apply(name, payload)).catch(fault);
  });
  try {
    await register();
  } catch (error) {
    // Its process ends then.
    bus.close();
    live.disconnect();
    await server.stop(true);
    throw error;
  }

  async function heartbeat(): Promise<number> {
    const { status } = await ask("PATCH", `/api/worker/${id}`);
    // Its own farewell may have overtaken a beat.
    if (status === 404 && stopping === null) await register();
    return status;
  }

  const timer = setInterval(() => {
    // A coordinator that is away is tried again at the next beat.
    if (!worker.silent) heartbeat().catch((error: unknown) => worker.missed.push(error));
  }, settings.heartbeatPeriod ?? 200);

  const worker: OldWorker = {
    id: () => id,
    apiUrl: `http://127.0.0.1:${server.port}`,
    circuits,
    ports: () => frontends.ports(),
    heard,
    silent: false,
    faults,
    missed: [],
    heartbeat,
    // A test may have stopped it before its end.
    stop: () => (stopping ??= leave()),
  };

  async function leave(): Promise<void> {
    clearInterval(timer);
    await ask("DELETE", `/api/worker/${id}`);
    await line;
    bus.close();
    for (const circuitId of circuits.keys()) await close(circuitId);
    await server.stop(true);
    live.disconnect();
  }
  return worker;
}

// --- internal ---

function registration(settings: OldWorkerSettings, apiPort: number): Json {
  return {
    authority: settings.authority,
    frontend_mode: "port",
    protocol: settings.protocol ?? "http",
    hostname: "127.0.0.1",
    tls_listen: false,
    tls_advertised: false,
    api_port: apiPort,
    port_range: settings.ports,
    wildcard_domain: null,
    wildcard_traffic_port: null,
    accepted_traffics: settings.acceptedTraffics ?? ["interactive", "inference"],
    filtered_apps_only: false,
    app_filters: [],
    traefik_last_used_marker_path: null,
  };
}

function asList(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw new Error(`wanted a list, got ${JSON.stringify(value)}`);
}
