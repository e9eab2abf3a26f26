/** What a call needs before it can be made: tokens, circuits, model services and workers, each made anew, by calls. */
import { Type } from "@sinclair/typebox";
import { createClient, type Client } from "../../../shared/client/client.ts";
import { operations, type Input as InputOf } from "../../../shared/protocol/operations.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import type { EndpointRequest, RouteEntry } from "../../../shared/protocol/schema/endpoint.ts";
import type { Slot, Worker, WorkerRegistration } from "../../../shared/protocol/schema/worker.ts";
import { API_SECRET, confBody, newKernel, type Answer, type Manager } from "../../support/manager.ts";

/** Everything that the document has: the typed client's operations, and the figures, which are text. */
export const calls = {
  ...operations,
  readMetrics: { method: "GET", path: "/metrics", answer: Type.String() },
} as const;
export type Name = keyof typeof calls;
export type Input<N extends Name> = InputOf<(typeof calls)[N]>;

/** A call's parameters by name, its query and its body, of whatever kind: a body that is text goes as it is. */
export type Given = Record<string, unknown> & { query?: Record<string, unknown>; body?: unknown };

const SECRET = { "X-BackendAI-Token": API_SECRET };

export class Stage {
  readonly manager: Manager;
  readonly client: Client<typeof calls>;

  readonly #names: number;
  #turn = 0;

  /** `names` for so many workers at once beside those that serve: none is ever forgotten, and they are looked at often. */
  constructor(manager: Manager, names = 4) {
    this.manager = manager;
    this.#names = names;
    this.client = createClient(calls, { baseUrl: manager.baseUrl, secret: API_SECRET });
  }

  /** A call as it is given, good or bad, with the secret or with other headers instead. */
  send(name: Name, given: Given, headers: Record<string, string> = SECRET): Promise<Answer> {
    const { method } = calls[name];
    return this.manager.call(method, targetOf(name, given), given.body, { Accept: "application/json", ...headers });
  }

  /** The same as a browser navigates there, by a link or a form. */
  visit(name: Name, { body, ...given }: Given, language: string): Promise<Response> {
    return fetch(this.manager.baseUrl + targetOf(name, given), {
      method: calls[name].method,
      redirect: "manual",
      headers: {
        Accept: "text/html,application/xhtml+xml,*/*;q=0.8",
        "Accept-Language": language,
        "Sec-Fetch-Mode": "navigate",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }

  /** The same by the typed client, whose answer has the documented shape. */
  call(name: Name, given: Given): Promise<unknown> {
    const methods = this.client as unknown as Record<Name, (given: Given) => Promise<unknown>>;
    return methods[name](given);
  }

  /** A permission to open apps of a fresh session. */
  async token(): Promise<{ token: string; session_id: string }> {
    const { session, ...kernel } = confBody(newKernel());
    const { token } = await this.client.configure({ body: { ...kernel, session } });
    return { token, session_id: session.id };
  }

  /** A fresh session's app, opened. */
  async circuit(wish: { app?: string; port?: number } = {}): Promise<Circuit> {
    const body = { ...(await this.token()), app: "jupyter", protocol: "http" as const, ...wish };
    const { circuit_id: id } = await this.client.open({ body });
    return this.client.getCircuit({ circuit_id: id });
  }

  /** A fresh model service with so many routes. */
  async endpoint(routes = 0): Promise<{ endpoint_id: string; circuit: Circuit; routes: RouteEntry[] }> {
    const endpoint_id = crypto.randomUUID();
    await this.client.syncEndpoint({ endpoint_id, body: service(endpoint_id) });
    const entries = Array.from({ length: routes }, route);
    if (routes > 0)
      await this.client.replaceRoutes({ body: { endpoints: [{ deployment_id: endpoint_id, routes: entries }] } });
    return { endpoint_id, circuit: await this.circuitOf(endpoint_id), routes: entries };
  }

  /** The one circuit of a model service that `service` describes. */
  async circuitOf(endpointId: string): Promise<Circuit> {
    const { circuits } = await this.client.listCircuits({ query: { app: appOf(endpointId) } });
    const [circuit] = circuits;
    if (circuit === undefined || circuits.length > 1) throw new Error(`${circuits.length} circuits of ${endpointId}`);
    return circuit;
  }

  /** A worker that takes no circuits, for no filter of it matches. Its name is one of a few in turn. */
  registration(): WorkerRegistration {
    return {
      authority: `other-${this.#turn++ % this.#names}`,
      frontend_mode: "port",
      protocol: "http",
      hostname: "worker.example",
      tls_listen: false,
      tls_advertised: true,
      api_port: 10_201,
      port_range: [30_000, 30_001],
      accepted_traffics: ["interactive"],
      filtered_apps_only: true,
      app_filters: [{ key: "session.access_key", value: "nobody's" }],
      node_id: "node-1",
    };
  }

  worker(): Promise<Worker> {
    return this.client.registerWorker({ body: this.registration() });
  }

  /** Deletes all circuits. */
  async clear(): Promise<void> {
    const { circuits } = await this.client.listCircuits({ query: { limit: 1000 } });
    await this.client.deleteCircuits({ body: { circuit_ids: circuits.map(({ id }) => id) } });
  }

  /** What can be doubled or left behind; `revision` grows with whatever happened to a worker's circuits. */
  async state(): Promise<State> {
    const { circuits } = await this.client.listCircuits({ query: { limit: 1000 } });
    const { workers } = await this.client.listWorkers({});
    const told = workers.map(({ id, authority, status, revision }) => ({ id, authority, status, revision }));
    return { circuits, slots: workers.flatMap(({ slots }) => slots), workers: told };
  }
}

export interface State {
  circuits: Circuit[];
  slots: Slot[];
  workers: Pick<Worker, "id" | "authority" | "status" | "revision">[];
}

/** A whole request of a model service, whose app names it. */
export function service(endpointId: string): EndpointRequest {
  return {
    version: "v2",
    service_name: appOf(endpointId),
    tags: {
      session: { user_uuid: "11111111-2222-4333-8444-555555555555", project_id: null, domain_name: "default" },
      endpoint: { id: endpointId, runtime_variant: "vllm" },
    },
    open_to_public: false,
    health_check: { path: "/health", interval: 60, initial_delay: 60 },
  };
}

/** A route to a fresh session's kernel, where nobody listens. */
export function route(): RouteEntry {
  return { ...newKernel(), route_id: crypto.randomUUID(), session_id: crypto.randomUUID() };
}

// --- internal ---

function targetOf(name: Name, given: Given): string {
  const { path } = calls[name];
  const filled = path.replace(/\{(\w+)\}/g, (_whole, param: string) => encodeURIComponent(String(given[param])));
  const query = Object.entries(given.query ?? {})
    .filter(([, value]) => value != null)
    .map(([key, value]): [string, string] => [key, typeof value === "string" ? value : JSON.stringify(value)]);
  return query.length === 0 ? filled : `${filled}?${new URLSearchParams(query).toString()}`;
}

function appOf(endpointId: string): string {
  return `llama-${endpointId}`;
}
