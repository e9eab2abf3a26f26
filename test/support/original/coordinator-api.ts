/** What an old coordinator keeps, and its HTTP calls for workers. */
import { asObject, dumps, pythonTime, type Json, type OldCircuit, type Style } from "./wire.ts";

/** A worker as the coordinator knows it: its registration and the fields that it adds. */
export interface OldWorkerRow {
  id: string;
  authority: string;
  status: "ALIVE" | "TERMINATED";
  /** As it was sent. */
  registration: Json;
  nodes: number;
  /** Heartbeats so far. */
  beats: number;
  created_at: string;
}

export interface OldState {
  workers: Map<string, OldWorkerRow>;
  circuits: Map<string, OldCircuit>;
  /** How circuits are written, in answers and in events. */
  writes: Style;
}

export interface ApiHooks {
  state: OldState;
  apiSecret: string;
  /** Takes a circuit away and tells its worker. */
  remove: (id: string) => Promise<void>;
  seen: (authority: string) => Promise<void>;
}

/** One call of a worker. */
export async function answerCall(request: Request, hooks: ApiHooks): Promise<Response> {
  if (request.headers.get("x-backendai-token") !== hooks.apiSecret) return problem(401, "auth-failed");
  const [, api, kind, id, part] = new URL(request.url).pathname.split("/");
  if (api !== "api") return problem(404, "url-not-found");
  if (kind === "worker") return workerCall(request, id, part, hooks);
  return kind === "circuit" && id !== undefined ? circuitCall(request, id, hooks) : problem(404, "url-not-found");
}

/** The ports of a worker that carry no circuit, lowest first. */
export function freePorts({ circuits }: OldState, worker: OldWorkerRow): number[] {
  const used = new Set([...circuits.values()].filter((one) => one.worker === worker.id).map(({ port }) => port));
  return portsOf(worker).filter((port) => !used.has(port));
}

// --- internal ---

async function workerCall(
  request: Request,
  id: string | undefined,
  part: string | undefined,
  hooks: ApiHooks,
): Promise<Response> {
  const { state } = hooks;
  if (request.method === "PUT") {
    const row = registered(asObject(await request.json(), "registration"), state);
    await hooks.seen(row.authority);
    return json(workerJson(row, state));
  }
  if (id === undefined) return json({ workers: [...state.workers.values()].map((row) => workerJson(row, state)) });
  const row = state.workers.get(id);
  if (row === undefined) return problem(404, "object-not-found", "E00002: No such worker.");
  if (part === "circuits") {
    const mine = [...state.circuits.values()].filter(({ worker }) => worker === id);
    return json({ circuits: mine.map(state.writes) });
  }
  if (request.method === "DELETE") {
    row.nodes = Math.max(0, row.nodes - 1);
    if (row.nodes === 0) row.status = "TERMINATED";
    return json({ success: true });
  }
  if (request.method === "PATCH") {
    // Its body is never read: the original's workers send none.
    row.beats++;
    row.status = "ALIVE";
    await hooks.seen(row.authority);
  }
  return json(workerJson(row, state));
}

async function circuitCall(request: Request, id: string, { state, remove }: ApiHooks): Promise<Response> {
  const circuit = state.circuits.get(id);
  if (circuit === undefined) return problem(404, "object-not-found", "E00002: No such circuit.");
  if (request.method !== "DELETE") return json(state.writes(circuit));
  await remove(id);
  return json({ success: true });
}

function registered(registration: Json, { workers }: OldState): OldWorkerRow {
  const authority = String(registration["authority"]);
  const known = [...workers.values()].find((row) => row.authority === authority);
  const row: OldWorkerRow = known ?? {
    id: crypto.randomUUID(),
    authority,
    status: "ALIVE",
    registration,
    nodes: 0,
    beats: 0,
    created_at: pythonTime(new Date()),
  };
  Object.assign(row, { status: "ALIVE", registration, nodes: row.nodes + 1 });
  workers.set(row.id, row);
  return row;
}

/** A registration's own fields; what newer workers add is not kept. */
function workerJson(row: OldWorkerRow, state: OldState): Json {
  const ports = portsOf(row);
  const free = freePorts(state, row);
  const kept = Object.fromEntries(KEPT.map((name) => [name, row.registration[name] ?? null]));
  return {
    id: row.id,
    ...kept,
    created_at: row.created_at,
    updated_at: pythonTime(new Date()),
    available_slots: ports.length === 0 ? -1 : free.length,
    occupied_slots: ports.length - free.length,
    nodes: row.nodes,
    slots: ports.map((port) => ({
      frontend_mode: "port",
      in_use: !free.includes(port),
      port,
      subdomain: null,
      circuit_id: [...state.circuits.values()].find((one) => one.worker === row.id && one.port === port)?.id ?? null,
    })),
  };
}

const KEPT = [
  "authority",
  "frontend_mode",
  "protocol",
  "hostname",
  "tls_listen",
  "tls_advertised",
  "api_port",
  "port_range",
  "wildcard_domain",
  "wildcard_traffic_port",
  "accepted_traffics",
  "filtered_apps_only",
  "traefik_last_used_marker_path",
];

function portsOf({ registration: { port_range: range } }: OldWorkerRow): number[] {
  if (!Array.isArray(range)) return [];
  const [low, high] = range.map(Number);
  return Array.from({ length: (high ?? 0) - (low ?? 0) + 1 }, (_, at) => (low ?? 0) + at);
}

function json(value: unknown): Response {
  return new Response(dumps(value), { headers: { "Content-Type": "application/json; charset=utf-8" } });
}

function problem(status: number, type: string, title = "Not possible."): Response {
  const body = { type: `https://api.backend.ai/probs/${type}`, title, error_code: "agent_read_not-found" };
  return new Response(dumps(body), { status, headers: { "Content-Type": "application/problem+json" } });
}
