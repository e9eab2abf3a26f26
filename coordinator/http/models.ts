/** The contract's schemas under the names that OpenAPI shows, and the answers that a route documents. */
import { Elysia } from "elysia";
import * as api from "../../shared/protocol/schema/api.ts";
import { Circuit } from "../../shared/protocol/schema/circuit.ts";
import * as endpoint from "../../shared/protocol/schema/endpoint.ts";
import * as health from "../../shared/protocol/schema/health.ts";
import { SlotsV1, WorkersV1 } from "../../shared/protocol/schema/v1.ts";
import {
  BeatenWorker,
  Heartbeat,
  RegisteredWorker,
  ServiceWorkers,
  SlotList,
  Worker,
  WorkerCircuits,
  WorkerList,
  WorkerRegistration,
} from "../../shared/protocol/schema/worker.ts";

const schemas = {
  ConfRequest: api.ConfRequest,
  ConfAnswer: api.ConfAnswer,
  ProxyRequest: api.ProxyRequest,
  ProxyAnswer: api.ProxyAnswer,
  AddAnswer: api.AddAnswer,
  Success: api.Success,
  CircuitIds: api.CircuitIds,
  RefusedReport: api.RefusedReport,
  RefusedAnswer: api.RefusedAnswer,
  CircuitStatistics: api.CircuitStatistics,
  Problem: api.ProblemSchema,
  Circuit,
  CircuitPage: api.CircuitPage,
  Worker,
  WorkerRegistration,
  WorkerList,
  WorkerCircuits,
  RegisteredWorker,
  BeatenWorker,
  Heartbeat,
  EndpointRequest: endpoint.EndpointRequest,
  EndpointAnswer: endpoint.EndpointAnswer,
  BulkEndpoints: endpoint.BulkEndpoints,
  BulkDelete: endpoint.BulkDelete,
  BulkRoutes: endpoint.BulkRoutes,
  BulkUnregister: endpoint.BulkUnregister,
  BulkCreated: endpoint.BulkCreated,
  BulkOutcome: endpoint.BulkOutcome,
  BulkRegistered: endpoint.BulkRegistered,
  BulkUnregistered: endpoint.BulkUnregistered,
  HealthCheckRequest: endpoint.HealthCheckRequest,
  TokenRequest: endpoint.TokenRequest,
  TokenAnswer: endpoint.TokenAnswer,
  StatusAnswer: health.StatusAnswer,
  SummaryAnswer: health.SummaryAnswer,
  EndpointsHealthAnswer: health.EndpointsHealthAnswer,
  CircuitHealthAnswer: health.CircuitHealthAnswer,
  SlotsV1,
  WorkersV1,
  SlotList,
  ServiceWorkers,
};

export const models = new Elysia({ name: "models" }).model(schemas);

/** The documented answers: the good one and the failures that may come instead (all are problem documents). */
export function answers<const Name extends keyof typeof schemas>(
  good: Name,
  ...failures: (400 | 401 | 403 | 404 | 409 | 413 | 503)[]
) {
  const good200: { 200: Name; [status: number]: "Problem" | Name } = { 200: good };
  for (const status of failures) good200[status] = "Problem";
  return good200 as { 200: Name };
}
