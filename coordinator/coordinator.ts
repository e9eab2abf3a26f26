/** Puts the coordinator together and runs it: services, routes, events, periodic work. Called by main.ts, all-in-one and tests. */
import { readFileSync } from "node:fs";
import { Elysia } from "elysia";
import type { AppProxyEvent } from "../shared/protocol/events.ts";
import { type Address, hostPort } from "../shared/values.ts";
import { reason } from "../shared/failure.ts";
import { stopServer } from "../shared/runtime/process.ts";
import { pathOf } from "../shared/http/target.ts";
import { CORS_HEADERS } from "../shared/http/page.ts";
import { accessPlugin } from "./access.ts";
import { createAcknowledgements, type Acknowledgements } from "./acknowledge.ts";
import { createAuthenticator } from "./auth.ts";
import { readBody } from "./body.ts";
import { circuitRoutes } from "./circuits/index.ts";
import { createCollector, type Collector } from "./circuits/collector.ts";
import { createRefusals, type Refusals } from "./circuits/refusals.ts";
import { createServing } from "./circuits/serving.ts";
import { createCircuitService } from "./circuits/service.ts";
import { getCircuit, wasWithdrawn } from "./circuits/find.ts";
import { toCircuit } from "./circuits/store.ts";
import { confRoutes } from "./conf/index.ts";
import { createConfService } from "./conf/service.ts";
import type { Deps } from "./deps.ts";
import { endpointRoutes } from "./endpoints/index.ts";
import { createRouteService } from "./endpoints/routes.ts";
import { createEndpointService } from "./endpoints/service.ts";
import { createEndpointTokens } from "./endpoints/token.ts";
import { answerFailure } from "./errors.ts";
import { healthRoutes } from "./health/index.ts";
import { createHealthService } from "./health/service.ts";
import { createLease, type Lease } from "./lease.ts";
import { createListening, type Listening } from "./listening.ts";
import { createMetrics, metricsRoutes } from "./metrics.ts";
import { overridden } from "./method-override.ts";
import { inPlaceOf } from "./peer.ts";
import { startPeriodic } from "./periodic.ts";
import { createPlatformService } from "./platform/service.ts";
import { proxyRoutes } from "./proxy/index.ts";
import { createProxyService } from "./proxy/service.ts";
import { createPublisher, type Publisher } from "./publish.ts";
import { createReadiness, statusRoutes } from "./status.ts";
import { swaggerRoutes } from "./swagger.ts";
import { v1Routes } from "./v1/index.ts";
import { workerRoutes } from "./workers/index.ts";
import { createPositions, type Positions } from "./workers/positions.ts";
import { createWorkerService, type WorkerService } from "./workers/service.ts";
import { getWorker } from "./workers/store.ts";

export interface Coordinator {
  /** Where it listens. */
  address: Address;
  /** How others reach it. */
  baseUrl: string;
  /** Stops taking calls, lets running ones end, notes what is unwritten. The handed-in parts stay open. */
  stop(): Promise<void>;
}

/** How often it is looked which acknowledgements are late. Milliseconds. */
const ASK_MS = 500;

/** Starts a coordinator. Rejects when its address can't be opened. */
export async function startCoordinator(deps: Deps): Promise<Coordinator> {
  const { config, log, bus } = deps;
  const services = createServices(deps);
  const { publisher, acknowledgements } = services;
  let baseUrl = "";
  const app = createApp(deps, services, () => baseUrl);
  const address = listen(app, deps);
  baseUrl = advertised(config.proxy_coordinator, address);

  // Redis may be away now: events are heard as soon as it is there, and /health/readyz says so meanwhile.
  const askAll = () => askAgain(deps, publisher, acknowledgements.pending());
  bus.subscribe({ event: (event) => hear(event, deps, services), unknown: askAll }).then(
    // Acknowledgements may have come before they could be heard.
    askAll,
    (error: unknown) => log.error({ reason: reason(error) }, "cannot listen to events"),
  );
  publisher.kick();
  const askLate = () => askAgain(deps, publisher, acknowledgements.due(), "ours");
  const asking = setInterval(askLate, ASK_MS);
  const platform = createPlatformService(deps, publisher, acknowledgements);
  deps.platform?.listen((text) => platform.hear(text));
  const periodic = startPeriodic(deps, services);
  log.info({ address: hostPort(address), advertised: baseUrl }, "coordinator is up");

  return {
    address,
    baseUrl,
    async stop() {
      platform.stop();
      clearInterval(asking);
      await periodic.stop();
      acknowledgements.stop();
      if (app.server !== null) await stopServer(app.server);
      await publisher.stop();
      log.info("coordinator is down");
    },
  };
}

/** What the routes and the periodic work share. */
export interface Services {
  publisher: Publisher;
  acknowledgements: Acknowledgements;
  refusals: Refusals;
  listening: Listening;
  positions: Positions;
  workers: WorkerService;
  collector: Collector;
  lease: Lease;
}

export function createServices(deps: Deps): Services {
  const publisher = createPublisher(deps);
  const acknowledgements = createAcknowledgements(deps);
  const listening = deps.listening ?? createListening(deps.now);
  const positions = createPositions(deps);
  const refusals = createRefusals(deps, acknowledgements);
  const workers = createWorkerService(deps, listening, positions, refusals);
  const collector = createCollector(deps, { publisher, acknowledgements });
  const lease = createLease(deps.database.db, "periodic", deps.newId(), deps.now);
  return { publisher, acknowledgements, refusals, listening, positions, workers, collector, lease };
}

/** The routes of a coordinator, for the server and for the OpenAPI document. */
export function createApp(deps: Deps, services: Services, baseUrl: () => string) {
  const { config, log, database } = deps;
  const { publisher, acknowledgements, positions, workers } = services;
  const conf = createConfService(deps, services);
  const metrics = createMetrics(deps, services);
  const circuits = createCircuitService(deps, publisher, acknowledgements);
  const serving = createServing(deps, publisher, acknowledgements);
  const authenticator = createAuthenticator(config);
  const access = accessPlugin(authenticator);
  const routes = [
    statusRoutes(access, baseUrl, createReadiness(deps, services), deps.now),
    confRoutes(access, conf, log),
    proxyRoutes(
      access,
      createProxyService(deps, { conf, publisher, acknowledgements, serving, positions }),
      baseUrl,
      log,
    ),
    circuitRoutes(access, circuits, log),
    endpointRoutes(
      access,
      {
        endpoints: createEndpointService(deps, { publisher, acknowledgements, serving, listening: services.listening }),
        routes: createRouteService(deps, { publisher, acknowledgements, serving, positions }),
        tokens: createEndpointTokens(deps),
      },
      log,
    ),
    workerRoutes(access, workers),
    healthRoutes(access, createHealthService(deps)),
    v1Routes(access, database.db, circuits, log),
    metricsRoutes(access, metrics),
  ];
  // A Host of fewer than four characters misroutes without standardHostname: false. Elysia's default normaliser runs
  // before the check and turns `[1]` into `{"0": 1}` where an object is wanted; TypeBox's does not.
  const app: Elysia = new Elysia({ handler: { standardHostname: false }, normalize: "typebox" });
  app.onError((failed) => {
    const answer = answerFailure(
      app,
      { log, home: config.proxy_coordinator.home_url },
      { ...failed, path: pathOf(failed.request.url) },
    );
    failed.set.status = answer.status;
    return answer;
  });
  app.onAfterResponse(({ request, route, set, responseValue }) => {
    const status = responseValue instanceof Response ? responseValue.status : Number(set.status ?? 200);
    metrics.answered(request.method, route ?? "", status);
  });
  app.onRequest(({ request, set }) => {
    for (const [name, value] of CORS_HEADERS) set.headers[name] = value;
    return request.method === "OPTIONS" ? preflight() : undefined;
  });
  app.onRequest(async ({ request, server }) => {
    const meant = await overridden(request, authenticator);
    if (meant === null) return undefined;
    inPlaceOf(meant, request, server);
    return app.handle(meant);
  });
  const isTrusted = (request: Request) =>
    authenticator.api(request.headers).then(
      () => true,
      () => false, // a stranger's body is held to the small limit, and refused later if its route wants a secret
    );
  const { max_body_bytes: small, max_bulk_body_bytes: large } = config.proxy_coordinator;
  app.onParse(({ request }) => readBody(request, { small, large, isTrusted: () => isTrusted(request) }));
  for (const plugin of routes) app.use(plugin);
  app.use(swaggerRoutes(routes));
  return app;
}

// --- internal ---

function hear(
  event: AppProxyEvent,
  { database: { db } }: Deps,
  { acknowledgements, refusals }: Pick<Services, "acknowledgements" | "refusals">,
): void {
  if (event.name === "appproxy_worker_circuit_refused_event") refusals.hear(event);
  if (event.name === "appproxy_worker_circuit_added_event") acknowledgements.receive(event);
  if (event.name !== "appproxy_circuit_removed_event") return;
  // Another coordinator may have moved or removed what is waited for here.
  for (const { id } of event.payload.circuits) {
    const waited = acknowledgements.awaitedRow(id);
    const row = getCircuit(db, id);
    if (waited === undefined || row?.workerId === waited.workerId) continue;
    // What was taken back there must not be called made here.
    const isTakenBack = row === undefined && wasWithdrawn(db, waited.workerId, id);
    acknowledgements.forget(id, isTakenBack ? "late" : "superseded");
  }
}

/** Events or acknowledgements may have been lost: workers are told of the circuits that are waited for once more. */
function askAgain(
  { database: { db }, log }: Deps,
  publisher: Publisher,
  waited: readonly string[],
  whom: "all" | "ours" = "all",
): void {
  if (waited.length > 0 || whom === "all") publisher.kick();
  for (const id of waited) {
    // As it is now: another request may have changed it since the wait began.
    const row = getCircuit(db, id);
    const worker = row === undefined ? undefined : getWorker(db, row.workerId);
    // The original's worker may still be at it: it makes a circuit anew that it is told of twice.
    if (row === undefined || worker === undefined || (whom === "ours" && worker.isOriginal)) continue;
    publisher.repeat(toCircuit(row), worker.authority, row.originRequestId).catch((error: unknown) => {
      log.debug({ circuit: row.id, reason: reason(error) }, "cannot ask for an acknowledgement again");
    });
  }
}

function listen(app: Elysia, { config }: Deps): Address {
  const { bind_addr: bind, tls_listen: tls, tls_cert: cert, tls_privkey: key } = config.proxy_coordinator;
  try {
    app.listen({
      hostname: bind.host,
      port: bind.port,
      // Elysia's default shares the port: a second coordinator would get half of the calls without a word.
      reusePort: false,
      development: false,
      // Bodies are limited by readBody, with an answer of ours.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // A creation may wait 15 s for its acknowledgement; Bun's default would cut it at 12 s.
      idleTimeout: 120,
      ...(tls && cert !== null && key !== null ? { tls: { cert: readFileSync(cert), key: readFileSync(key) } } : {}),
    });
  } catch (error) {
    throw new Error(`Cannot listen on ${hostPort(bind)} (proxy_coordinator.bind_addr)`, { cause: error });
  }
  return { host: bind.host, port: app.server?.port ?? bind.port };
}

function advertised(settings: Deps["config"]["proxy_coordinator"], address: Address): string {
  return `${settings.tls_advertised ? "https" : "http"}://${hostPort(settings.advertised_addr ?? address)}`;
}

function preflight(): Response {
  return new Response(null, {
    status: 204,
    headers: [
      ...CORS_HEADERS,
      ["Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS"],
      [
        "Access-Control-Allow-Headers",
        "Authorization, Content-Type, X-BackendAI-Token, X-Backend-Request-ID, X-Method-Override",
      ],
      ["Access-Control-Max-Age", "600"],
    ],
  });
}
