/** Values that unit tests start from: a circuit, its route, a request's head, a configuration; and what a refusal says. */
import { loadCoordinatorConfig } from "../../coordinator/config.ts";
import { ConfigError } from "../../shared/config/load.ts";
import { Failure, type FailureKind } from "../../shared/failure.ts";
import type { Circuit, Route } from "../../shared/protocol/schema/circuit.ts";
import { loadWorkerConfig } from "../../worker/config.ts";
import type { RequestHead } from "../../worker/seam/engine.ts";
import { Table, type Entry, type TableSettings } from "../../worker/circuits/table.ts";
import { judged } from "../../worker/net/targets.ts";

export const CIRCUIT = "c1c1c1c1-0000-4000-8000-000000000001";
export const SESSION = "5e5e5e5e-0000-4000-8000-000000000001";
export const USER = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d";
export const WORKER = "70707070-0000-4000-8000-000000000001";

export function route(over: Partial<Route> = {}): Route {
  return {
    route_id: null,
    session_id: SESSION,
    session_name: null,
    kernel_host: "10.1.2.3",
    kernel_port: 8080,
    protocol: "http",
    traffic_ratio: 1,
    ...over,
  };
}

/** An interactive circuit on a port. */
export function circuit(over: Partial<Circuit> = {}): Circuit {
  return {
    id: CIRCUIT,
    app: "jupyter",
    protocol: "http",
    worker: WORKER,
    app_mode: "interactive",
    frontend_mode: "port",
    envs: {},
    arguments: null,
    open_to_public: false,
    allowed_client_ips: null,
    port: 10205,
    subdomain: null,
    user_id: USER,
    endpoint_id: null,
    runtime_variant: null,
    route_info: [route()],
    session_ids: [SESSION],
    created_at: "2026-08-23T00:00:00.000Z",
    updated_at: "2026-08-23T00:00:00.000Z",
    origin_request_id: null,
    revision: 1,
    ...over,
  };
}

/** An empty table whose random choices are all the first. */
export function newTable(over: Partial<TableSettings> = {}): Table {
  return new Table({
    policies: { interactive: "round_robin", inference: "least_outstanding" },
    now: Date.now,
    random: () => 0,
    targets: judged,
    out: () => undefined,
    ...over,
  });
}

/** A circuit as the worker's table holds it. */
export function entry(over: Partial<Circuit> = {}): Entry {
  const table = newTable();
  const made = circuit(over);
  table.put(made);
  const found = table.byId(made.id);
  if (found === undefined) throw new Error("the table has lost a circuit");
  return found;
}

export type HeadWish = Partial<Omit<RequestHead, "header" | "names">> & { headers?: [string, string][] };

/** A browser's GET from 203.0.113.7 to a port, without cookies. Repeated headers read as one list. */
export function head({ headers = [["Host", "apps.example:10205"]], ...over }: HeadWish = {}): RequestHead {
  return {
    method: "GET",
    target: "/",
    peer: "203.0.113.7",
    tls: false,
    version: "1.1",
    authority: headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? "",
    frontend: { mode: "port", port: 10205 },
    upgrade: false,
    header(name) {
      const values = headers.filter(([one]) => one.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
      // RFC 9110 §5.3, and RFC 6265 §5.4 for cookies.
      return values.length === 0 ? null : values.join(name.toLowerCase() === "cookie" ? "; " : ", ");
    },
    names: () => headers.map(([name]) => name),
    ...over,
  };
}

export interface Refusal {
  kind: FailureKind;
  msg: string | undefined;
}

/** The failure with which `work` ends. */
export async function refused(work: () => unknown): Promise<Refusal> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Failure) return { kind: error.kind, msg: error.problem().msg };
    throw error;
  }
  throw new Error("nothing was refused");
}

export const API_KEY = "an-api-key-0123456789-a";
export const JWT_KEY = "a-jwt-key-0123456789-b";
export const PERMIT_KEY = "a-permit-key-0123456789-c";
const SECRETS = `[secrets]\napi_secret = "${API_KEY}"\njwt_secret = "${JWT_KEY}"\n`;

type Env = Record<string, string>;

/** A coordinator's configuration with good secrets. */
export function coordinatorConfig(toml = "", env: Env = {}) {
  return loadCoordinatorConfig("c.toml", `${SECRETS}${toml}`, env);
}

/** A worker's configuration with good secrets. */
export function workerConfig(toml = "", env: Env = {}) {
  return loadWorkerConfig("w.toml", `${SECRETS}[permit_hash]\nsecret = "${PERMIT_KEY}"\n${toml}`, env);
}

/** The error of a configuration that is refused. */
export function configError(load: () => unknown): ConfigError {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

/** The keys that such an error names. */
export function faultyKeys(load: () => unknown): string[] {
  return configError(load).faults.map(({ key }) => key);
}

/** For attempts whose use nobody notes. */
export const untold = { moved: () => undefined, opened: () => () => undefined };
