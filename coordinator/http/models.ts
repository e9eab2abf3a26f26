/** The contract's schemas under the names that OpenAPI shows, and the answers that a route documents. */
import type { TSchema } from "@sinclair/typebox";
import { Elysia } from "elysia";
import * as api from "../../shared/protocol/schema/api.ts";
import { Circuit } from "../../shared/protocol/schema/circuit.ts";
import * as endpoint from "../../shared/protocol/schema/endpoint.ts";
import * as health from "../../shared/protocol/schema/health.ts";
import { SlotsV1, WorkersV1 } from "../../shared/protocol/schema/v1.ts";
import {
  HeartbeatAnswer,
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
  HeartbeatAnswer,
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

type Name = keyof typeof schemas;

export const models = new Elysia({ name: "models" }).model(schemas);

/** The name of a schema in the document; undefined for one that is written out where it is used. */
export function nameOf(schema: TSchema): Name | undefined {
  return names.get(schema);
}

/** The documented answers: the good one, with 200 and `also`, and the failures that may come instead (all are problem documents). */
export function documented(
  good: TSchema,
  failures: readonly number[],
  also: readonly number[],
): Record<number, Name | TSchema> {
  const answer = nameOf(good) ?? good;
  return {
    ...Object.fromEntries([200, ...also].map((status) => [status, answer])),
    ...Object.fromEntries(failures.map((status) => [status, "Problem" as const])),
  };
}

// --- internal ---

const names = new Map<TSchema, Name>(Object.entries(schemas).map(([name, schema]) => [schema, name as Name]));
