/** What a coordinator's database is filled with: a worker's registration, a circuit before it has a revision. */
import type { CircuitRow, NewCircuit } from "../../coordinator/store/circuits.ts";
import type { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import { route, USER, WORKER } from "./values.ts";

export const NOW = 1_790_000_000_000;

/** A worker in port mode. */
export function portRegistration(authority: string, over: Partial<WorkerRegistration> = {}): WorkerRegistration {
  return {
    authority,
    frontend_mode: "port",
    protocol: "http",
    hostname: "worker.example",
    tls_listen: false,
    tls_advertised: false,
    api_port: 5050,
    port_range: [10_205, 10_214],
    accepted_traffics: ["interactive"],
    filtered_apps_only: false,
    ...over,
  };
}

/** An interactive circuit without a slot. */
export function newCircuit(over: Partial<NewCircuit> = {}): NewCircuit {
  return {
    id: crypto.randomUUID(),
    workerId: WORKER,
    app: "jupyter",
    protocol: "http",
    appMode: "interactive",
    frontendMode: "port",
    port: null,
    subdomain: null,
    envs: {},
    arguments: null,
    openToPublic: false,
    allowedClientIps: null,
    allowedOrigins: null,
    userId: USER,
    endpointId: null,
    runtimeVariant: null,
    healthCheck: null,
    routeInfo: [route()],
    originRequestId: null,
    acknowledgedAt: null,
    acknowledgedRevision: null,
    usedAt: NOW,
    lastAccess: null,
    createdAt: NOW,
    updatedAt: NOW,
    ...over,
  };
}

/** A circuit as the database has it. */
export function circuitRow(over: Partial<CircuitRow> = {}): CircuitRow {
  return { ...newCircuit(), revision: 1, recycledAt: null, blocksServiceWorkers: false, ...over };
}
