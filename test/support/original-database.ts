/** The database of the original's coordinator 26.9.6, as it writes it (test/fixtures/original/schema.sql says where from). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SQL } from "bun";
import { USER } from "./values.ts";

export type Row = Record<string, unknown>;
type Table = "workers" | "worker_app_filters" | "circuits" | "endpoints" | "tokens";

export async function createSchema(sql: SQL): Promise<void> {
  await sql.unsafe(readFileSync(join(import.meta.dir, "../fixtures/original/schema.sql"), "utf8")).simple();
}

/** Rows as JSON objects: PostgreSQL itself makes enums, arrays and times of them. */
export async function insert(sql: SQL, table: Table, ...rows: Row[]): Promise<void> {
  const query = `INSERT INTO ${table} SELECT * FROM jsonb_populate_recordset(NULL::${table}, $1::text::jsonb)`;
  await sql.unsafe(query, [JSON.stringify(rows)]);
}

/** Ids that say what they are of: `id("c", 1)`. */
export function id(kind: string, number: number): string {
  return `${kind.charCodeAt(0).toString(16).padStart(8, "0")}-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

export function worker(over: Row = {}): Row {
  return {
    id: id("w", 1),
    authority: "worker-http",
    frontend_mode: "PORT",
    protocol: "HTTP",
    hostname: "127.0.0.1",
    tls_listen: false,
    tls_advertised: false,
    api_port: 10_201,
    available_slots: 80,
    occupied_slots: 1,
    port_range: [10_205, 10_284],
    wildcard_domain: null,
    wildcard_traffic_port: null,
    nodes: 1,
    accepted_traffics: ["INFERENCE", "INTERACTIVE"],
    filtered_apps_only: false,
    traefik_last_used_marker_path: null,
    created_at: "2026-08-20T09:00:00.000001+00:00",
    updated_at: "2026-08-23T09:00:00.000001+00:00",
    status: "ALIVE",
    ...over,
  };
}

export function wildcardWorker(over: Row = {}): Row {
  return worker({
    id: id("w", 2),
    authority: "worker-wildcard",
    frontend_mode: "WILDCARD_DOMAIN",
    port_range: null,
    available_slots: -1,
    wildcard_domain: ".apps.localhost",
    wildcard_traffic_port: 10_250,
    ...over,
  });
}

export function route(over: Row = {}): Row {
  return {
    protocol: "http",
    route_id: null,
    session_id: id("s", 1),
    kernel_host: "10.0.3.17",
    kernel_port: 30_001,
    session_name: null,
    traffic_ratio: 1.0,
    ...over,
  };
}

/** A person's app on port 10207 of the first worker. */
export function circuit(over: Row = {}): Row {
  return {
    id: id("c", 1),
    app: "jupyter",
    protocol: "HTTP",
    worker: id("w", 1),
    app_mode: "INTERACTIVE",
    frontend_mode: "PORT",
    port: 10_207,
    subdomain: null,
    envs: {},
    arguments: null,
    open_to_public: false,
    allowed_client_ips: null,
    user_id: USER,
    endpoint_id: null,
    runtime_variant: null,
    session_ids: [id("s", 1)],
    route_info: [route()],
    created_at: "2026-08-23T11:07:46.594552+00:00",
    updated_at: "2026-08-23T11:07:46.59456+00:00",
    ...over,
  };
}

/** A model service: `session_ids` stays empty whatever its routes are, and `updated_at` as it was made. */
export function service(over: Row = {}): Row {
  return circuit({
    id: id("c", 2),
    app: "llama",
    app_mode: "INFERENCE",
    port: 10_208,
    endpoint_id: id("e", 1),
    runtime_variant: "vllm",
    session_ids: [],
    route_info: [route({ route_id: id("r", 1), session_id: id("s", 2), kernel_port: 30_002 })],
    ...over,
  });
}

/** With a health check; its `enable` is false in the original's rows though it is enabled. */
export function endpoint(over: Row = {}): Row {
  const config = {
    enable: false,
    interval: 10.0,
    path: "/health",
    max_retries: 10,
    max_wait_time: 15.0,
    expected_status_code: 200,
    initial_delay: 60.0,
  };
  return { id: id("e", 1), health_check_enabled: true, health_check_config: JSON.stringify(config), ...over };
}

export function token(over: Row = {}): Row {
  return {
    id: id("t", 1),
    login_session_token: null,
    kernel_host: "10.0.3.17",
    kernel_port: 30_001,
    session_id: id("s", 1),
    user_uuid: USER,
    group_id: id("g", 1),
    access_key: "AKTEST",
    domain_name: "default",
    ...over,
  };
}
