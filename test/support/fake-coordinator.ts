/**
 * A coordinator for workers alone: takes registrations and heartbeats, gives snapshots, sends signed events. Lets a test
 * give a worker any circuit without a database, a Manager or anybody's rules.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import type { Circuit, Route } from "../../shared/protocol/schema/circuit.ts";
import type { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import { API_SECRET } from "./manager.ts";
import { until } from "./until.ts";
import { WORKER } from "./values.ts";

export interface FakeCoordinator {
  url: string;
  /** All registrations, the newest last. */
  registrations: WorkerRegistration[];
  /** Ids of the nodes that have deregistered. */
  deregistered: string[];
  circuits: ReadonlyMap<string, Circuit>;
  /** Gives the worker a circuit; resolves when the worker acknowledges it. */
  put(circuit: Circuit): Promise<void>;
  /** Gives the worker a circuit of which it hears nothing until it asks. */
  putSilently(circuit: Circuit): void;
  /** Replaces the routes of a circuit; resolves when the worker acknowledges. */
  routes(id: string, routes: Route[]): Promise<void>;
  /** Takes a circuit away; resolves when the worker's table is without it. */
  remove(id: string): Promise<void>;
  /** While true, every call is answered with 503. */
  away: boolean;
  stop(): Promise<void>;
}

const EPOCH = "e0e0e0e0-0000-4000-8000-000000000001";

/** Takes over the bus. A worker whose clock a test sets is not to be set right: no `Date` tells it the time then. */
export async function startFakeCoordinator(bus: Bus, { dated = true } = {}): Promise<FakeCoordinator> {
  const circuits = new Map<string, Circuit>();
  const acknowledged = new Map<string, number>();
  const registrations: WorkerRegistration[] = [];
  const deregistered: string[] = [];
  let revision = 0;
  await bus.subscribe({
    event({ name, payload }) {
      if (name !== "appproxy_worker_circuit_added_event" || !("circuits" in payload)) return;
      for (const { id, revision: seen = 0 } of payload.circuits) acknowledged.set(id, seen);
    },
    unknown: () => undefined,
  });

  async function answer(request: Request): Promise<Response> {
    if (request.headers.get("x-backendai-token") !== API_SECRET) return new Response(null, { status: 401 });
    if (fake.away) return new Response(null, { status: 503 });
    const { pathname, searchParams } = new URL(request.url);
    switch (`${request.method} ${pathname.replace(WORKER, "ID")}`) {
      case "PUT /api/worker":
        registrations.push((await request.json()) as WorkerRegistration);
        return Response.json({ id: WORKER, revision });
      case "PATCH /api/worker/ID":
        return Response.json({ id: WORKER, revision });
      case "GET /api/worker/ID/circuits":
        return Response.json({ circuits: [...circuits.values()], revision, epoch: EPOCH });
      case "DELETE /api/worker/ID":
        deregistered.push(searchParams.get("node_id") ?? "");
        return new Response(null, { status: 204 });
      default:
        return new Response(null, { status: 404 });
    }
  }

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const answered = await answer(request);
      if (!dated) answered.headers.set("Date", "unknown");
      return answered;
    },
  });

  async function publish(event: Pick<AppProxyEvent, "name"> & { payload: object }): Promise<void> {
    // A test may have stopped Redis and started it again.
    await until(() => bus.healthy(), 30_000, "the bus to be healthy");
    const authority = registrations.at(-1)?.authority ?? "";
    const payload = { target_worker_authority: authority, ...event.payload, revision, epoch: EPOCH };
    await bus.publish({ name: event.name, payload, source: "appproxy-coordinator", requestId: null } as AppProxyEvent);
  }

  function isAcknowledged({ id, revision: wanted = 0 }: Circuit): Promise<unknown> {
    return until(() => (acknowledged.get(id) ?? -1) >= wanted, 30_000, `the worker to acknowledge ${id}`);
  }

  /** The revision that the worker's own API tells; removals are not acknowledged. */
  async function applied(wanted: number): Promise<boolean> {
    const { hostname, api_port: port, tls_listen: tls } = registrations.at(-1) ?? {};
    const url = `${tls === true ? "https" : "http"}://${hostname}:${port}/health`;
    const health = await fetch(url, { tls: { rejectUnauthorized: false } });
    return ((await health.json()) as { revision: number }).revision >= wanted;
  }

  const fake: FakeCoordinator = {
    url: `http://127.0.0.1:${server.port}`,
    registrations,
    deregistered,
    circuits,
    away: false,
    async put(circuit) {
      const made = { ...circuit, revision: ++revision };
      circuits.set(circuit.id, made);
      await publish({ name: "appproxy_circuit_created_event", payload: { circuits: [made] } });
      await isAcknowledged(made);
    },
    putSilently(circuit) {
      circuits.set(circuit.id, { ...circuit, revision: ++revision });
    },
    async routes(id, routes) {
      const before = circuits.get(id);
      if (before === undefined) throw new Error(`no circuit ${id}`);
      const made = { ...before, route_info: routes, revision: ++revision };
      circuits.set(id, made);
      await publish({ name: "appproxy_circuit_route_updated_event", payload: { circuit: made, routes } });
      await isAcknowledged(made);
    },
    async remove(id) {
      const circuit = circuits.get(id);
      if (circuit === undefined) throw new Error(`no circuit ${id}`);
      circuits.delete(id);
      const wanted = ++revision;
      await publish({ name: "appproxy_circuit_removed_event", payload: { circuits: [{ ...circuit, revision }] } });
      await until(() => applied(wanted), 30_000, `the worker to forget ${id}`);
    },
    async stop() {
      await server.stop(true);
      await bus.close();
    },
  };
  return fake;
}
