/**
 * The original's rows put into this version's terms, or what is wrong with them: table, row and field. Pure.
 * Facts of the original 26.9.6: enums are stored by their names (`WILDCARD_DOMAIN`, `HTTP2`); `health_check_config` is JSON
 * text within JSON, and its `enable` says nothing (false in nearly every row; `health_check_enabled` counts);
 * `session_ids` of a model service stays empty and `updated_at` of a circuit stays at its creation; routes of older
 * versions are JSON text and have keys with hyphens.
 */
import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Type } from "@sinclair/typebox";
import { invalidEntries } from "../../shared/http/addresses.ts";
import { snakeKeys } from "../../shared/compat/keys.ts";
import { hostFault, kernelHost } from "../../shared/http/kernel.ts";
import { Dictionary, nullable, optional, PortNumber, Protocol, Uuid } from "../../shared/protocol/schema/basics.ts";
import {
  AppModeSchema,
  FrontendModeSchema,
  placementProtocol,
  type Route,
} from "../../shared/protocol/schema/circuit.ts";
import { healthCheckOf, HealthCheckSpec, type HealthCheck } from "../../shared/protocol/schema/health-check.ts";
import "../../shared/protocol/schema/formats.ts";
import { WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import type { NewCircuit } from "../store/circuits.ts";
import { describeErrors } from "../http/validation.ts";
import { registrationFault } from "../workers/registration.ts";
import type { RawRow } from "./source.ts";

/** What was wrong: `circuits 4070760e-…: port: wanted an integer …`. */
export interface Fault {
  table: "workers" | "circuits" | "endpoints" | "tokens";
  /** Id of the row, or what there is of one. */
  id: string;
  text: string;
}

export interface OriginalWorker {
  id: string;
  registration: WorkerRegistration;
}

/** A circuit of the original; `workerId` is the original's. */
export type OriginalCircuit = Omit<
  NewCircuit,
  "acknowledgedAt" | "acknowledgedRevision" | "usedAt" | "lastAccess" | "updatedAt" | "originRequestId"
>;

export type OriginalToken = Static<typeof Token>;

/** A worker, or its fault. */
export function readWorker(row: RawRow, filters: readonly RawRow[]): OriginalWorker | Fault {
  const { id, authority, hostname, api_port, wildcard_domain, wildcard_traffic_port, port_range } = row;
  const { tls_listen, tls_advertised, filtered_apps_only, traefik_last_used_marker_path } = row;
  const mine = filters.filter((one) => one["worker"] === id);
  const registration = {
    authority,
    hostname,
    api_port,
    wildcard_domain,
    wildcard_traffic_port,
    port_range,
    tls_listen,
    tls_advertised,
    filtered_apps_only,
    traefik_last_used_marker_path,
    frontend_mode: named(row["frontend_mode"]),
    protocol: named(row["protocol"]),
    accepted_traffics: Array.isArray(row["accepted_traffics"]) ? row["accepted_traffics"].map(named) : null,
    app_filters: mine.map((one) => ({ key: one["property_name"], value: one["property_value"] })),
  };
  if (!isId(id)) return { table: "workers", id: shownId(row), text: "id: wanted a UUID" };
  if (!WORKER.Check(registration)) return faultOf("workers", row, WORKER, registration);
  const text = registrationFault(registration);
  return text === null ? { id: id.toLowerCase(), registration } : { table: "workers", id, text };
}

/** A circuit with what is left out of it, or its fault. `endpoints` by their ids. */
export function readCircuit(
  row: RawRow,
  endpoints: ReadonlyMap<string, RawRow>,
): { circuit: OriginalCircuit; notes: Fault[] } | Fault {
  const given = {
    ...row,
    protocol: named(row["protocol"]),
    app_mode: named(row["app_mode"]),
    frontend_mode: named(row["frontend_mode"]),
  };
  if (!CIRCUIT.Check(given)) return faultOf("circuits", row, CIRCUIT, given);
  const fault = (text: string): Fault => ({ table: "circuits", id: given.id, text });
  const { routes, faults } = readRoutes(given.route_info, given.protocol);
  const unusable = given.app_mode === "inference" ? null : whyNobodyGetsIn(given, routes, faults);
  if (unusable !== null) return fault(unusable);
  const slot = readSlot(given);
  if (typeof slot === "string") return fault(slot);
  const allowed = readAllowed(given.allowed_client_ips ?? "");
  if (allowed.text === "" && allowed.bad.length > 0)
    return fault(`allowed_client_ips: wanted addresses or CIDR ranges, got ${JSON.stringify(allowed.bad[0])}`);
  const health = readHealthCheck(endpoints.get(given.endpoint_id ?? ""));
  const { app, envs, arguments: args, userId, endpointId, runtimeVariant, createdAt } = withDefaults(given);
  // In this order: what was taken over is remembered by a digest of its text.
  const circuit: OriginalCircuit = {
    id: given.id,
    workerId: given.worker,
    app,
    protocol: placementProtocol(given.protocol),
    appMode: given.app_mode,
    frontendMode: given.frontend_mode,
    ...slot,
    envs,
    arguments: args,
    openToPublic: given.open_to_public,
    allowedClientIps: allowed.text === "" ? null : allowed.text,
    allowedOrigins: null,
    userId,
    endpointId,
    runtimeVariant,
    healthCheck: health.check,
    routeInfo: routes,
    createdAt,
  };
  const notes = [
    ...faults.map((text) => fault(`${text}; this route is left out`)),
    ...allowed.bad.map((one) => fault(`allowed_client_ips: ${JSON.stringify(one)} is no address and is left out`)),
    ...health.notes,
  ];
  return { circuit, notes };
}

/** A token of `/v2/conf`, or its fault. */
export function readToken(row: RawRow): OriginalToken | Fault {
  if (TOKEN.Check(row)) return { ...row, kernel_host: kernelHost(row.kernel_host) };
  return faultOf("tokens", row, TOKEN, row);
}

export function isFault(read: object): read is Fault {
  return "table" in read && "text" in read;
}

// --- internal ---

/** Model services whose kernels are outside of `kernel_host_cidrs` come too: workers say so until that key has them. */
const ANYWHERE = () => true;

const Text = Type.String({ maxLength: 1_000_000 });

const Circuit = Type.Object({
  id: Uuid,
  app: optional(Text),
  protocol: Protocol,
  worker: Uuid,
  app_mode: AppModeSchema,
  frontend_mode: FrontendModeSchema,
  port: optional(PortNumber),
  subdomain: optional(Text),
  envs: optional(Dictionary),
  arguments: optional(Text),
  open_to_public: Type.Boolean(),
  allowed_client_ips: optional(Text),
  user_id: optional(Uuid),
  endpoint_id: optional(Uuid),
  runtime_variant: optional(Text),
  route_info: Type.Unknown(),
  created_at: optional(Type.String({ format: "date-time" })),
});

const RouteRow = Type.Object({
  route_id: optional(Uuid),
  session_id: Uuid,
  session_name: optional(Text),
  kernel_host: Type.String({ minLength: 1, maxLength: 255 }),
  kernel_port: PortNumber,
  protocol: Type.Optional(Protocol),
  traffic_ratio: optional(Type.Number({ minimum: 0, maximum: 1_000_000 })),
});

const Token = Type.Object({
  id: Uuid,
  kernel_host: Type.String({ minLength: 1, maxLength: 255 }),
  kernel_port: PortNumber,
  session_id: Uuid,
  user_uuid: Uuid,
  group_id: nullable(Uuid),
  access_key: Text,
  domain_name: Text,
});

const WORKER = TypeCompiler.Compile(WorkerRegistration);
const CIRCUIT = TypeCompiler.Compile(Circuit);
const ROUTE = TypeCompiler.Compile(RouteRow);
const TOKEN = TypeCompiler.Compile(Token);
const HEALTH = TypeCompiler.Compile(HealthCheckSpec);
const ID = TypeCompiler.Compile(Uuid);

/** Members of the original's enums whose values are not their names in lower case. */
const NAMES: Record<string, string> = { WILDCARD_DOMAIN: "wildcard", HTTP2: "h2" };
/** What a worker finds a circuit by: one label in lower case. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function named(value: unknown): unknown {
  return typeof value === "string" ? (NAMES[value] ?? value.toLowerCase()) : value;
}

function isId(value: unknown): value is string {
  return ID.Check(value);
}

function shownId({ id }: RawRow): string {
  return typeof id === "string" ? id : "(no id)";
}

function faultOf<T extends TSchema>(
  table: Fault["table"],
  row: RawRow,
  checker: ReturnType<typeof TypeCompiler.Compile<T>>,
  value: unknown,
): Fault {
  const texts = describeErrors(checker.Errors(value), "row").map((one) => one.text);
  return { table, id: shownId(row), text: texts.join("; ") };
}

/** What an interactive circuit lacks to let anybody in; null when it lacks nothing. */
function whyNobodyGetsIn(
  { user_id: userId, open_to_public: isPublic }: Static<typeof Circuit>,
  routes: readonly Route[],
  faults: readonly string[],
): string | null {
  if (faults[0] !== undefined) return faults[0];
  if (routes.length === 0) return "route_info: wanted a way to a kernel, got none";
  return userId == null && !isPublic ? "user_id: wanted a UUID, got nothing: nobody could be let in" : null;
}

function withDefaults(given: Static<typeof Circuit>) {
  const createdAt = Date.parse(given.created_at ?? "");
  return {
    app: given.app ?? "",
    envs: given.envs ?? {},
    arguments: given.arguments ?? null,
    userId: given.user_id ?? null,
    endpointId: given.endpoint_id ?? null,
    runtimeVariant: given.runtime_variant ?? null,
    createdAt: Number.isNaN(createdAt) ? 0 : createdAt,
  };
}

type Slot = Pick<NewCircuit, "port" | "subdomain">;

function readSlot({ frontend_mode: mode, port, subdomain }: Static<typeof Circuit>): Slot | string {
  if (mode === "port") return port == null ? "port: wanted a port, got nothing" : { port, subdomain: null };
  const label = (subdomain ?? "").toLowerCase();
  return LABEL.test(label)
    ? { port: null, subdomain: label }
    : `subdomain: wanted a label of a host name, got ${JSON.stringify(subdomain ?? null)}`;
}

/** The original leaves out what it can't read of the list, and lets everybody in when nothing is left. */
function readAllowed(list: string): { text: string; bad: string[] } {
  const entries = list.split(",").map((one) => one.trim());
  const bad = entries.filter((one) => one !== "" && invalidEntries(one).length > 0);
  return { text: entries.filter((one) => one !== "" && !bad.includes(one)).join(","), bad };
}

function readRoutes(stored: unknown, protocol: Route["protocol"]): { routes: Route[]; faults: string[] } {
  const list = snakeKeys(typeof stored === "string" ? parseJson(stored) : stored);
  if (!Array.isArray(list)) return { routes: [], faults: ["route_info: wanted a list"] };
  const read = list.map((one: unknown, at) => readRoute(one, at, protocol));
  return {
    routes: read.filter((one) => typeof one !== "string"),
    faults: read.filter((one) => typeof one === "string"),
  };
}

function readRoute(given: unknown, at: number, protocol: Route["protocol"]): Route | string {
  const where = `route_info.${at}`;
  if (!ROUTE.Check(given)) {
    const texts = describeErrors(ROUTE.Errors(given), "it").map((one) => one.text);
    return `${where}: ${texts.join("; ")}`;
  }
  const fault = hostFault(given.kernel_host, ANYWHERE);
  if (fault !== null) return `${where}: kernel_host: ${fault}, got ${JSON.stringify(given.kernel_host)}`;
  return {
    route_id: given.route_id?.toLowerCase() ?? null,
    session_id: given.session_id.toLowerCase(),
    session_name: given.session_name ?? null,
    kernel_host: kernelHost(given.kernel_host),
    kernel_port: given.kernel_port,
    protocol: placementProtocol(given.protocol ?? protocol),
    traffic_ratio: given.traffic_ratio ?? 1,
  };
}

function readHealthCheck(row: RawRow | undefined): { check: HealthCheck | null; notes: Fault[] } {
  const stored = row?.["health_check_config"];
  if (row?.["health_check_enabled"] !== true || stored == null) return { check: null, notes: [] };
  const wish = snakeKeys(typeof stored === "string" ? parseJson(stored) : stored);
  if (HEALTH.Check(wish)) return { check: healthCheckOf({ ...wish, enable: true }), notes: [] };
  const texts = describeErrors(HEALTH.Errors(wish), "it").map((one) => one.text);
  const text = `health_check_config: ${texts.join("; ")}; its kernels are not probed`;
  return { check: null, notes: [{ table: "endpoints", id: shownId(row), text }] };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema says what was wanted
  }
}
