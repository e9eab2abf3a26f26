/** Every call of the coordinator's API for TypeScript callers: method, path and the schemas of what goes in and comes out. */
import { Type, type Static, type TSchema } from "@sinclair/typebox";
import * as api from "./schema/api.ts";
import { Circuit } from "./schema/circuit.ts";
import * as endpoint from "./schema/endpoint.ts";
import * as health from "./schema/health.ts";
import { SlotsV1, WorkersV1 } from "./schema/v1.ts";
import * as worker from "./schema/worker.ts";

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** `{name}` in a path is a parameter. */
export interface Operation<Path extends string = string> {
  method: Method;
  path: Path;
  query?: TSchema;
  body?: TSchema;
  answer: TSchema;
}

/** The names of a path's parameters. */
export type Parameter<Path> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | Parameter<Rest> : never;

/** A query of which nothing is needed may be left out. */
type Query<Asked> = Partial<Asked> extends Asked ? { query?: Asked } : { query: Asked };

/** What a call is given: its path's parameters by name, a query and a body as it has them. */
export type Input<O extends Operation> = { [Name in Parameter<O["path"]>]: string } & (O["query"] extends TSchema
  ? Query<Static<O["query"]>>
  : unknown) &
  (O["body"] extends TSchema ? { body: Static<O["body"]> } : unknown);

const Anything = Type.Object({}, { additionalProperties: Type.Unknown() });
const { ConfRequest, ConfAnswer, ProxyRequest, ProxyAnswer, CircuitSpec, AddAnswer, Success } = api;

export const operations = {
  hello: op("GET", "/", { answer: Anything }),
  whereabouts: op("GET", "/status", { answer: api.WhereaboutsAnswer }),
  health: op("GET", "/health", { answer: Anything }),
  isAlive: op("GET", "/health/livez", { answer: Anything }),
  isReady: op("GET", "/health/readyz", { answer: Anything }),

  configure: op("POST", "/v2/conf", { body: ConfRequest, answer: ConfAnswer }),
  whereToOpen: op("GET", "/v2/proxy/{token}/{session_id}/add", { query: CircuitSpec, answer: AddAnswer }),
  open: op("POST", "/v2/proxy/auth", { body: ProxyRequest, answer: ProxyAnswer }),
  openByQuery: op("GET", "/v2/proxy/auth", { query: ProxyRequest, answer: ProxyAnswer }),
  close: op("GET", "/v2/proxy/{token}/{session_id}/delete", { query: api.CloseQuery, answer: Success }),

  syncEndpoint: op("POST", "/v2/endpoints/{endpoint_id}", {
    body: endpoint.EndpointRequest,
    answer: endpoint.EndpointAnswer,
  }),
  deleteEndpoint: op("DELETE", "/v2/endpoints/{endpoint_id}", { answer: Success }),
  setHealthCheck: op("PUT", "/v2/endpoints/{endpoint_id}/health-check", {
    body: endpoint.HealthCheckRequest,
    answer: Success,
  }),
  mintToken: op("POST", "/v2/endpoints/{endpoint_id}/token", {
    body: endpoint.TokenRequest,
    answer: endpoint.TokenAnswer,
  }),
  syncEndpoints: op("POST", "/v2/endpoints/bulk", { body: endpoint.BulkEndpoints, answer: endpoint.BulkCreated }),
  deleteEndpoints: op("DELETE", "/v2/endpoints/bulk", { body: endpoint.BulkDelete, answer: endpoint.BulkOutcome }),
  replaceRoutes: op("POST", "/v2/endpoints/bulk/routes", { body: endpoint.BulkRoutes, answer: endpoint.BulkOutcome }),
  registerRoutes: op("POST", "/v2/endpoints/bulk/routes/register", {
    body: endpoint.BulkRoutes,
    answer: endpoint.BulkRegistered,
  }),
  unregisterRoutes: op("POST", "/v2/endpoints/bulk/routes/unregister", {
    body: endpoint.BulkUnregister,
    answer: endpoint.BulkUnregistered,
  }),

  listCircuits: op("GET", "/api/circuits", { query: api.CircuitQuery, answer: api.CircuitPage }),
  getCircuit: op("GET", "/api/circuit/{circuit_id}", { answer: Circuit }),
  getStatistics: op("GET", "/api/circuit/{circuit_id}/statistics", { answer: api.CircuitStatistics }),
  deleteCircuit: op("DELETE", "/api/circuit/{circuit_id}", { answer: Success }),
  reportRefused: op("POST", "/api/circuit/{circuit_id}/refused", {
    body: api.RefusedReport,
    answer: api.RefusedAnswer,
  }),
  deleteCircuits: op("DELETE", "/api/circuit/_/bulk", {
    query: api.CircuitIdsQuery,
    body: api.CircuitIds,
    answer: Success,
  }),

  registerWorker: op("PUT", "/api/worker", { body: worker.WorkerRegistration, answer: worker.RegisteredWorker }),
  noteServiceWorkers: op("POST", "/api/worker/{worker_id}/service-workers", {
    body: worker.ServiceWorkers,
    answer: Success,
  }),
  heartbeat: op("PATCH", "/api/worker/{worker_id}", { body: worker.Heartbeat, answer: worker.HeartbeatAnswer }),
  deregisterWorker: op("DELETE", "/api/worker/{worker_id}", { query: worker.LeaveQuery, answer: Success }),
  listWorkers: op("GET", "/api/worker", { answer: worker.WorkerList }),
  getWorker: op("GET", "/api/worker/{worker_id}", { answer: worker.Worker }),
  getWorkerCircuits: op("GET", "/api/worker/{worker_id}/circuits", {
    query: worker.CircuitsQuery,
    answer: worker.WorkerCircuits,
  }),
  listSlots: op("GET", "/api/slots", { query: worker.SlotQuery, answer: worker.SlotList }),

  workersStatus: op("GET", "/health/status", { answer: health.StatusAnswer }),
  healthSummary: op("GET", "/health/summary", { answer: health.SummaryAnswer }),
  endpointsHealth: op("GET", "/health/endpoints", { answer: health.EndpointsHealthAnswer }),
  circuitHealth: op("GET", "/health/circuits/{circuit_id}", { answer: health.CircuitHealthAnswer }),

  slotsV1: op("GET", "/v1/api/slots", { answer: SlotsV1 }),
  workersV1: op("GET", "/v1/api/worker", { answer: WorkersV1 }),
  deleteCircuitV1: op("DELETE", "/v1/api/circuit/{circuit_id}", { answer: Success }),
} as const;

// --- internal ---

function op<const Path extends string, Rest extends Omit<Operation, "method" | "path">>(
  method: Method,
  path: Path,
  rest: Rest,
): { method: Method; path: Path } & Rest {
  return { method, path, ...rest };
}
