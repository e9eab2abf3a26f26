/**
 * Events as text: `{name, source, payload, metadata}` where payload and metadata are JSON strings.
 * Our events end their payload with `mac`, so that a peer can tell them from forged ones; the original ignores it. Where
 * several secrets count, `macs` before it has the signatures with the others: who knows one of them can tell.
 */
import { createHmac } from "node:crypto";
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { isRecord } from "../values.ts";
import { snakeKeys, USERS_OWN } from "../compat/keys.ts";
import { Circuit, Route } from "./schema/circuit.ts";
import { NodeId } from "./schema/worker.ts";
import "./schema/formats.ts";
import { sameSecret } from "../runtime/secrets.ts";
import type { AppProxyEvent } from "./events.ts";

/** The secrets with which events are signed. */
export interface EventKeys {
  /**
   * Those of the events about a worker: all sign, and one that fits is enough. The first one's signature is what an earlier
   * version looks at.
   */
  of(authority: string): readonly string[];
  /** The worker whose events alone count here: of others it need not know the secrets. Null: all workers'. */
  own: string | null;
}

export interface Codec {
  encode(event: AppProxyEvent): string;
  /** Gives null for an event that is not ours to read, and throws with the reason for a broken or forged one. */
  decode(text: string): AppProxyEvent | null;
}

/**
 * `keys` may be one secret for all; unsigned events count only with `acceptUnsigned` (mixed clusters). Of events that are not
 * in `heard` only the name is read: a service's own come back to it, and checking them costs as much as the others.
 */
export function createCodec(
  keys: string | EventKeys,
  acceptUnsigned: boolean,
  heard: readonly AppProxyEvent["name"][] = COORDINATOR_EVENTS.concat(HEARD_BY_COORDINATORS),
): Codec {
  const all = typeof keys === "string" ? { of: () => [keys], own: null } : keys;
  return {
    encode: (event) => encode(event, all),
    decode: (text) => decode(text, all, acceptUnsigned, heard),
  };
}

/** What workers listen to. */
export const COORDINATOR_EVENTS: AppProxyEvent["name"][] = [
  "appproxy_circuit_created_event",
  "appproxy_circuit_removed_event",
  "appproxy_circuit_route_updated_event",
  "appproxy_circuit_probe_event",
];

/** What a coordinator listens to: workers, and what another coordinator on the same database takes away. */
export const HEARD_BY_COORDINATORS: AppProxyEvent["name"][] = [
  "appproxy_worker_circuit_added_event",
  "appproxy_worker_circuit_refused_event",
  "appproxy_circuit_removed_event",
];

/**
 * What a peer has sent, in our terms. The original leaves out, or has null for, what our schemas ask for, and writes times
 * as Python does. What has no plain meaning stays as it is: the check that follows refuses it and names the field.
 */
export function fromPeer(value: unknown): unknown {
  const given = snakeKeys(value, USERS_OWN);
  if (!isRecord(given)) return given;
  const { circuits, circuit, routes } = given;
  if (Array.isArray(circuits)) given["circuits"] = circuits.map(circuitFromPeer);
  if (isRecord(circuit)) given["circuit"] = circuitFromPeer(circuit);
  if (Array.isArray(routes)) given["routes"] = routes.map((route) => routeFromPeer(route, circuit));
  return given;
}

// --- internal ---

const position = {
  revision: Type.Optional(Type.Integer()),
  first_revision: Type.Optional(Type.Integer()),
  epoch: Type.Optional(Type.String()),
};
const circuitsCheck = TypeCompiler.Compile(
  Type.Object({ target_worker_authority: Type.String(), circuits: Type.Array(Circuit), ...position }),
);
const routeCheck = TypeCompiler.Compile(
  Type.Object({ target_worker_authority: Type.String(), circuit: Circuit, routes: Type.Array(Route), ...position }),
);

const refusedCheck = TypeCompiler.Compile(
  Type.Object({
    target_worker_authority: Type.String(),
    circuits: Type.Array(Circuit),
    node_id: NodeId,
    reason: Type.String(),
  }),
);

const CHECKS = {
  appproxy_circuit_created_event: circuitsCheck,
  appproxy_worker_circuit_added_event: circuitsCheck,
  appproxy_worker_circuit_refused_event: refusedCheck,
  appproxy_circuit_removed_event: circuitsCheck,
  appproxy_circuit_route_updated_event: routeCheck,
  appproxy_circuit_probe_event: circuitsCheck,
};

const envelopeCheck = TypeCompiler.Compile(
  Type.Object({
    name: Type.String(),
    source: Type.String(),
    payload: Type.String(),
    metadata: Type.Optional(Type.String()),
  }),
);

const MAC = /,"mac":"([0-9a-f]{64})"\}$/;
/** At most as many as there can be secrets; see fields.ts. */
const MACS = /,"macs":\["([0-9a-f]{64}(?:","[0-9a-f]{64}){0,31})"\]\}$/;

function encode({ name, source, payload, requestId }: AppProxyEvent, keys: EventKeys): string {
  const [first = "", ...others] = keys.of(payload.target_worker_authority);
  const bare = JSON.stringify(payload);
  const macs = others.map((key) => mac(name, bare, key));
  const signed = macs.length === 0 ? bare : `${bare.slice(0, -1)},"macs":${JSON.stringify(macs)}}`;
  return JSON.stringify({
    name,
    source,
    payload: `${signed.slice(0, -1)},"mac":"${mac(name, signed, first)}"}`,
    metadata: JSON.stringify({ request_id: requestId, user: null, triggered_user: null }),
  });
}

function decode(
  text: string,
  keys: EventKeys,
  acceptUnsigned: boolean,
  heard: readonly string[],
): AppProxyEvent | null {
  const envelope: unknown = JSON.parse(text);
  if (!envelopeCheck.Check(envelope)) throw new Error("event envelope lacks name, source or payload");
  if (!isOurs(envelope.name) || !heard.includes(envelope.name)) return null;
  const payload = fromPeer(JSON.parse(envelope.payload));
  // Of what is acted on, never of the text: a field may be in it twice.
  const authority = authorityOf(payload);
  if (!acceptUnsigned && !isGenuine(envelope.name, envelope.payload, keys.of(authority))) {
    if (keys.own !== null && keys.own !== authority) return null;
    throw new Error(`event ${envelope.name} is not signed with our secret (events.accept_unsigned is false)`);
  }
  const check = CHECKS[envelope.name];
  if (!check.Check(payload)) {
    const first = check.Errors(payload).First();
    throw new Error(`event ${envelope.name}: payload${first?.path ?? ""}: ${first?.message ?? "unreadable"}`);
  }
  // The check above proved that this payload belongs to this name.
  return {
    name: envelope.name,
    source: envelope.source,
    payload,
    requestId: requestId(envelope.metadata),
  } as AppProxyEvent;
}

/** The name is under the signature too: a creation and a removal have payloads of the same shape. */
function mac(name: string, payload: string, secret: string): string {
  return createHmac("sha256", secret).update(`${name}\n${payload}`).digest("hex");
}

function isGenuine(name: string, payload: string, keys: readonly string[]): boolean {
  const last = MAC.exec(payload);
  if (last?.[1] === undefined) return false;
  const signed = `${payload.slice(0, last.index)}}`;
  if (isOneOf([last[1]], name, signed, keys)) return true;
  const others = MACS.exec(signed);
  return others?.[1] !== undefined && isOneOf(others[1].split('","'), name, `${signed.slice(0, others.index)}}`, keys);
}

function isOneOf(macs: readonly string[], name: string, signed: string, keys: readonly string[]): boolean {
  return keys.some((key) => {
    const good = mac(name, signed, key);
    return macs.some((one) => sameSecret(one, good));
  });
}

function authorityOf(payload: unknown): string {
  const authority = isRecord(payload) ? payload["target_worker_authority"] : undefined;
  return typeof authority === "string" ? authority : "";
}

function isOurs(name: string): name is AppProxyEvent["name"] {
  return Object.hasOwn(CHECKS, name);
}

function requestId(metadata: string | undefined): string | null {
  if (metadata === undefined) return null;
  const parsed: unknown = JSON.parse(metadata);
  if (typeof parsed !== "object" || parsed === null || !("request_id" in parsed)) return null;
  return typeof parsed.request_id === "string" ? parsed.request_id : null;
}

/** What the original leaves out or has as null. A time that was never written is long ago: such an app has started. */
const CIRCUIT_BLANKS = {
  envs: {},
  arguments: null,
  open_to_public: false,
  allowed_client_ips: null,
  port: null,
  subdomain: null,
  user_id: null,
  endpoint_id: null,
  runtime_variant: null,
  route_info: [],
  created_at: "1970-01-01T00:00:00.000Z",
  updated_at: "1970-01-01T00:00:00.000Z",
};
/** To the original a kernel without a host is on the worker's own machine. */
const ROUTE_BLANKS = { route_id: null, session_name: null, kernel_host: "localhost", traffic_ratio: 1 };

function circuitFromPeer(value: unknown): unknown {
  if (!isRecord(value)) return value;
  const circuit = filled(value, CIRCUIT_BLANKS);
  const { route_info: routes, session_ids: sessions, created_at: created, updated_at: updated } = circuit;
  return {
    ...circuit,
    created_at: utc(created),
    updated_at: utc(updated),
    ...(Array.isArray(routes) ? { route_info: routes.map((route) => routeFromPeer(route, circuit)) } : {}),
    ...(sessions == null && Array.isArray(routes) ? { session_ids: sessionsOf(routes) } : {}),
  };
}

function routeFromPeer(value: unknown, circuit: unknown): unknown {
  if (!isRecord(value)) return value;
  const protocol = isRecord(circuit) ? (circuit["protocol"] ?? "http") : "http";
  return filled(value, { ...ROUTE_BLANKS, protocol });
}

/** `value` with what it lacks from `blanks`. */
function filled(value: Record<string, unknown>, blanks: Record<string, unknown>): Record<string, unknown> {
  const missing = Object.entries(blanks).filter(([key]) => value[key] == null);
  return missing.length === 0 ? value : { ...value, ...Object.fromEntries(missing) };
}

function sessionsOf(routes: readonly unknown[]): unknown[] {
  return [...new Set(routes.map((route) => (isRecord(route) ? route["session_id"] : null)))];
}

/** Python writes microseconds and an offset; without one it means UTC, where JavaScript would take its own zone. */
function utc(time: unknown): unknown {
  if (typeof time !== "string" || time.endsWith("Z")) return time;
  const zoned = /[+-]\d\d:\d\d$/.test(time) ? time : `${time}Z`;
  const at = Date.parse(zoned.replace(" ", "T"));
  return Number.isNaN(at) ? time : new Date(at).toISOString();
}
