/** The worker's own API on its own port: setup, health, status. Circuits never come in here. */
import { hostPort } from "../../shared/values.ts";
import { connectivity, type Part } from "../../shared/compat/connectivity.ts";
import { Failure, methodNotAllowed, toFailure } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { CORS_HEADERS, failureAnswer, wantsPage } from "../../shared/http/page.ts";
import { reportFailure } from "../../shared/runtime/report-failure.ts";
import { readerOf } from "../../shared/pages/reader.ts";
import { pathAndQuery, pathOf } from "../../shared/http/target.ts";
import { stopServer } from "../../shared/runtime/process.ts";
import type { TlsPair } from "../../shared/runtime/tls.ts";
import { VERSION } from "../../shared/runtime/version.ts";
import { bindAlone, bindShared, type Bound } from "../listeners/bind-shared.ts";
import type { ServedFiles } from "../../shared/net/served-files.ts";
import type { LanePlace } from "../lanes/lane.ts";
import type { Clock } from "../state/clock.ts";
import { Succession } from "../listeners/generations.ts";
import type { Sibling } from "../listeners/sibling.ts";
import type { SyncState } from "../state/sync.ts";
import type { Metrics } from "../metrics.ts";
import { PRIVATE_HEADERS } from "../access/enter.ts";
import { LOOK_PATH } from "../access/look-link.ts";
import { secondLook } from "../access/second-look.ts";
import { setup, type SetupDeps } from "../access/setup.ts";

export interface ApiDeps {
  hostname: string;
  port: number;
  tls: TlsPair | null;
  /** Null: nobody else may listen on its port. */
  sharing: Sibling | null;
  /** Where its connections count. */
  served: ServedFiles;
  log: Log;
  setup: SetupDeps;
  state: () => SyncState & { circuits: number; events: boolean };
  clock: Clock;
  /** Ports that can't be opened. */
  blocked: () => number[];
  metrics: Metrics;
  /** Which of the worker's processes this is; null: the only one. */
  lane: LanePlace | null;
  /** What it serves, and how many slots it has: none are counted in wildcard mode, as with the original. */
  about: { authority: string; node_id: string; app_mode: string; protocol: string; available_slots: number };
}

export interface ApiServer {
  port: number;
  /** New connections get this certificate. */
  renew(tls: TlsPair): void;
  /** Leaves its port to a successor, if there is one, and resolves when it may stop: in `idleMs` milliseconds then. */
  handOver(idleMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Throws when its address can't be had. */
export function startApi(deps: ApiDeps): ApiServer {
  const { served } = deps;
  let calls = 0;
  const answerWith = async (request: Request, server: Server) => {
    // Null for a client that has left.
    const { address, port: peerPort } = server.requestIP(request) ?? { address: "", port: 0 };
    served.busy(peerPort);
    calls++;
    try {
      return servers.farewell(server, await answer(request, address, deps));
    } finally {
      calls--;
      served.idle(peerPort);
    }
  };
  const first = openFirst(deps, answerWith);
  const port = first.listener.port ?? deps.port;
  const servers: Succession<Server> = new Succession(first);
  const noLonger = served.listens(port);
  return {
    port,
    renew: (tls) => servers.renew(() => serve({ ...deps, port, tls }, answerWith)),
    handOver: (idleMs) => (deps.sharing === null ? Promise.resolve() : servers.handOver(idleMs)),
    async stop() {
      await stopServer({ stop: (now) => servers.stop(now === true) }, () => calls);
      noLonger();
    },
  };
}

// --- internal ---

const FIGURES = "/metrics";
const SETUP = "/setup";

type Server = Bun.Server<undefined>;
type Answerer = (request: Request, server: Server) => Promise<Response>;

function openFirst(deps: ApiDeps, fetch: Answerer): Bound<Server> {
  const { hostname, port, tls, sharing } = deps;
  const open = () => serve(deps, fetch);
  try {
    return tls === null && sharing === null ? bindAlone(open) : bindShared({ hostname, port, sharing }, open);
  } catch (error) {
    throw new Error(`Cannot listen on ${hostPort({ host: hostname, port })} (proxy_worker.api_bind_addr)`, {
      cause: error,
    });
  }
}

function serve(deps: ApiDeps, fetch: Answerer): Server {
  return Bun.serve({
    hostname: deps.hostname,
    port: deps.port,
    // Shared only while a certificate is renewed or a successor takes over.
    reusePort: deps.tls !== null || deps.sharing !== null,
    development: false,
    idleTimeout: 60,
    ...(deps.tls === null ? {} : { tls: deps.tls }),
    fetch,
  });
}

async function answer(request: Request, peer: string, deps: ApiDeps): Promise<Response> {
  const response = await route(request, peer, deps).catch((error: unknown) => refused(request, peer, error, deps));
  // Figures are for programs: no page of another origin reads them.
  const path = pathOf(request.url);
  if (path === FIGURES) return response;
  for (const [name, value] of CORS_HEADERS) response.headers.set(name, value);
  // Whatever is answered there: the URL holds a token.
  if (path === SETUP || path === LOOK_PATH)
    for (const [name, value] of PRIVATE_HEADERS) response.headers.set(name, value);
  return response;
}

async function route(request: Request, peer: string, deps: ApiDeps): Promise<Response> {
  const pathname = pathOf(request.url);
  if (request.method === "OPTIONS")
    return new Response(null, { status: 204, headers: pathname === FIGURES ? {} : PREFLIGHT });
  const handler = Object.hasOwn(ROUTES, pathname) ? ROUTES[pathname] : undefined;
  if (handler === undefined) throw new Failure("url-not-found");
  if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed(["GET", "HEAD", "OPTIONS"]);
  return handler(deps, request, peer);
}

const PREFLIGHT = { "Access-Control-Allow-Methods": "GET, OPTIONS", "Access-Control-Allow-Headers": "*" };

type Handler = (deps: ApiDeps, request: Request, peer: string) => Promise<Response> | Response;

const ROUTES: Record<string, Handler> = {
  "/": (deps) => Response.json({ ...health(deps, "degraded"), api_version: "v2" }),
  "/status": () => Response.json({ api_version: "v2" }),
  [SETUP]: (deps, request, peer) => setup(request, peer, deps.setup),
  [LOOK_PATH]: (deps, request, peer) => secondLook(request, peer, deps.setup),
  [FIGURES]: (deps, { headers }, peer) => deps.metrics.answer({ peer, headers }),
  "/health/status": ({ about, state, sharing, blocked }) =>
    Response.json({
      version: VERSION,
      ...about,
      occupied_slots: state().circuits,
      blocked_ports: blocked(),
      takeover: sharing?.takeover() ?? "off",
    }),
  "/health": (deps) => Response.json(health(deps, "degraded")),
  "/health/livez": () => Response.json(named("ok", [])),
  "/health/readyz": (deps) => {
    const { ready } = deps.state();
    return Response.json({ ...health(deps, "error"), status: ready ? "ok" : "error" }, { status: ready ? 200 : 503 });
  },
};

function named(status: string, parts: readonly Part[]) {
  return { status, version: VERSION, component: "appproxy-worker", connectivity: connectivity(parts, Date.now()) };
}

/** An object: the original's worker answers with its JSON as one text, which no reader of `status` can want. */
function health({ state, clock, lane }: ApiDeps, bad: "degraded" | "error") {
  const { workerId, known, revision, digest, lag, syncedAt, coordinator, isContradicted, circuits, events } = state();
  const parts = [
    { group: "redis", component: "events", healthy: events },
    { group: "appproxy", component: "coordinator", healthy: coordinator && !isContradicted },
    { group: "appproxy", component: "circuits", healthy: known },
    { group: "system", component: "clock", healthy: clock.state() !== "wrong" },
  ];
  return {
    ...named(parts.every(({ healthy }) => healthy) ? "ok" : bad, parts),
    worker_id: workerId,
    /** Which of how many processes answers: each tells of itself. */
    ...(lane === null ? {} : { process: lane.number, processes: lane.count }),
    checks: {
      circuits: known ? "known" : "unknown",
      coordinator: isContradicted ? "refuses" : coordinator ? "reachable" : "away",
      events: events ? "connected" : "away",
      clock: clock.state(),
    },
    circuits,
    revision,
    digest,
    lag,
    /** How far this machine's clock is ahead of the coordinator's; null while that is not known. */
    clock_skew_seconds: clock.skew(),
    /** Seconds since the circuits were last known to be as the coordinator's; null for never. */
    seconds_since_sync: secondsSince(syncedAt),
  };
}

function secondsSince(at: number): number | null {
  return Number.isFinite(at) ? Math.round((performance.now() - at) / 100) / 10 : null;
}

function refused(request: Request, peer: string, error: unknown, { log, setup: { homes } }: ApiDeps): Response {
  const failure = toFailure(error);
  const { method, url } = request;
  const about = { error_id: crypto.randomUUID(), method, url: pathAndQuery(url), peer };
  const errorId = reportFailure(log, failure, about);
  const form = wantsPage((name) => request.headers.get(name)) ? "html" : "json";
  const { status, headers, body } = failureAnswer(failure, form, {
    errorId,
    ...readerOf((name) => request.headers.get(name)),
    home: homes.of(null, undefined),
    closed: true, // `answer` says otherwise
  });
  return new Response(body, { status, headers });
}
