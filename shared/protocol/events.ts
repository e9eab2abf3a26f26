/** The broadcast events of the App Proxy: names, payloads and who sends them. */
import type { Circuit, Route } from "./schema/circuit.ts";

/** Which changes an event tells: fields of our coordinator, which older peers ignore and do not send. */
interface Revisions {
  revision?: number;
  /** Where an event tells of several changes: the revision of the first; `revision` is that of the last. */
  first_revision?: number;
  epoch?: string;
}

interface CircuitsPayload extends Revisions {
  target_worker_authority: string;
  circuits: Circuit[];
}

interface RoutePayload extends Revisions {
  target_worker_authority: string;
  circuit: Circuit;
  routes: Route[];
}

interface RefusedPayload extends CircuitsPayload {
  node_id: string;
  /** For the log: what the system said of the first. */
  reason: string;
}

interface Kind<Name extends string, Payload> {
  name: Name;
  payload: Payload;
  source: "appproxy-coordinator" | "appproxy-worker";
  /** `metadata.request_id`: the request that caused it, as it was received. */
  requestId: string | null;
}

export type CircuitCreated = Kind<"appproxy_circuit_created_event", CircuitsPayload>;
export type CircuitAdded = Kind<"appproxy_worker_circuit_added_event", CircuitsPayload>;
export type CircuitRemoved = Kind<"appproxy_circuit_removed_event", CircuitsPayload>;
export type RouteUpdated = Kind<"appproxy_circuit_route_updated_event", RoutePayload>;

/**
 * A worker's node can't serve these circuits, and says so at once. The original's coordinator subscribes to no event of
 * this name, and passes over it without a word.
 */
export type CircuitRefused = Kind<"appproxy_worker_circuit_refused_event", RefusedPayload>;

/**
 * The kernels of these routes may be gone: the worker looks, and tells the coordinator which refuse. Each circuit has only
 * the routes in question. It changes nothing, so it has no revision.
 */
export type CircuitProbe = Kind<"appproxy_circuit_probe_event", CircuitsPayload>;

export type AppProxyEvent =
  | CircuitCreated
  | CircuitAdded
  | CircuitRefused
  | CircuitRemoved
  | RouteUpdated
  | CircuitProbe;

/** An anycast message: one of all coordinators' peers takes it from the stream. */
export interface Announcement {
  name: "worker_lost" | "worker_terminated";
  payload: { worker_id: string; reason: string };
}
