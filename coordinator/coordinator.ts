/** Puts the coordinator together and runs it: services, routes, events, periodic work. Called by main.ts, all-in-one and tests. */
import { type Address, hostPort } from "../shared/values.ts";
import { reason } from "../shared/failure.ts";
import { machineNames } from "../shared/runtime/machine-names.ts";
import { stopServer } from "../shared/runtime/process.ts";
import { accessPlugin } from "./http/access.ts";
import { createCommit, type Commit } from "./delivery/commit.ts";
import { createAcknowledgements, type Acknowledgements } from "./delivery/acknowledgements.ts";
import { createHttpApp } from "./http/app.ts";
import { createCallers, type Callers } from "./http/callers.ts";
import { createAuthenticator } from "./http/auth.ts";
import { createOwnership } from "./http/own-worker.ts";
import { plugin, type Route } from "./http/routes.ts";
import { advertised, listen } from "./http/server.ts";
import { askAgain, hear } from "./delivery/inbox.ts";
import { createAllowance, type Allowance } from "./circuits/allowance.ts";
import { circuitRoutes } from "./circuits/api.ts";
import { createCollector, type Collector } from "./circuits/collector.ts";
import { createRefusals, type Refusals } from "./circuits/refusals.ts";
import { createConfirmations, type Confirmations } from "./delivery/confirm.ts";
import { createCircuitService } from "./circuits/service.ts";
import { confRoutes } from "./tokens/api.ts";
import { createConfService } from "./tokens/service.ts";
import { hostsOf } from "./config.ts";
import type { Deps } from "./deps.ts";
import { endpointRoutes } from "./endpoints/api.ts";
import { createRouteService } from "./endpoints/routes.ts";
import { createEndpointService } from "./endpoints/service.ts";
import { createEndpointTokens } from "./endpoints/token.ts";
import { healthRoutes } from "./kernel-health/api.ts";
import { createHealthService } from "./kernel-health/service.ts";
import { createLease, type Lease } from "./periodic/lease.ts";
import { createObservation, type Observation } from "./observation.ts";
import { createMetrics } from "./self/metrics.ts";
import { startPeriodic } from "./periodic/periodic.ts";
import { createPlatformService } from "./platform/service.ts";
import { proxyRoutes } from "./apps/api.ts";
import { createProxyService } from "./apps/service.ts";
import { createPublisher, type Publisher } from "./delivery/publisher.ts";
import { createReadiness, metricsRoutes, statusRoutes } from "./self/api.ts";
import { swaggerRoutes } from "./http/openapi.ts";
import { createTargetService } from "./targets/service.ts";
import { v1Routes } from "./v1/api.ts";
import { workerRoutes } from "./workers/api.ts";
import { createNodeRevisions, type NodeRevisions } from "./delivery/node-revisions.ts";
import { createWorkerService, type WorkerService } from "./workers/service.ts";

export interface Coordinator {
  /** Where it listens. */
  address: Address;
  /** How others reach it. */
  baseUrl: string;
  /** Stops taking calls, lets running ones end, notes what is unwritten. The handed-in parts stay open. */
  stop(): Promise<void>;
}

/** How often it is checked which acknowledgements are late. Milliseconds. */
const ASK_MS = 500;

/** Starts a coordinator. Rejects when its address can't be opened. */
export async function startCoordinator(deps: Deps): Promise<Coordinator> {
  const { config, log, bus } = deps;
  const services = createServices(deps);
  const { publisher, acknowledgements } = services;
  let baseUrl = "";
  let address = config.proxy_coordinator.bind_addr;
  const app = createApp(deps, services, { baseUrl: () => baseUrl, address: () => address });
  address = listen(app, deps);
  baseUrl = advertised(config.proxy_coordinator, address);
  const noLonger = services.callers.listens(address.port);

  // Redis may be away now: events are heard as soon as it is there, and /health/readyz says so meanwhile.
  const askAll = () => void askAgain(deps, publisher, acknowledgements.pending());
  bus.subscribe({ event: (event) => void hear(event, deps, services), unknown: askAll }).then(
    // Acknowledgements may have come before they could be heard.
    askAll,
    (error: unknown) => log.error({ reason: reason(error) }, "cannot listen to events"),
  );
  publisher.wake();
  const askLate = () => void askAgain(deps, publisher, acknowledgements.due(), "ours");
  const asking = setInterval(askLate, ASK_MS);
  const platform = createPlatformService(deps, services.commit);
  deps.platform?.listen((text) => platform.hear(text));
  const periodic = startPeriodic(deps, services);
  log.info({ address: hostPort(address), advertised: baseUrl }, "coordinator is up");

  return {
    address,
    baseUrl,
    async stop() {
      clearInterval(asking);
      services.confirmations.stop();
      // Each may wait for the database. Calls that wait end with the acknowledgements, and new ones are not taken meanwhile.
      await Promise.all([platform.stop(), periodic.stop(), acknowledgements.stop(), stop(app.server)]);
      noLonger();
      await publisher.stop();
      log.info("coordinator is down");
    },
  };
}

async function stop(server: Bun.Server<unknown> | null): Promise<void> {
  if (server !== null) await stopServer(server, () => server.pendingRequests);
}

/** What the routes and the periodic work share. */
interface Services {
  publisher: Publisher;
  acknowledgements: Acknowledgements;
  commit: Commit;
  confirmations: Confirmations;
  refusals: Refusals;
  observation: Observation;
  nodeRevisions: NodeRevisions;
  workers: WorkerService;
  collector: Collector;
  lease: Lease;
  allowance: Allowance;
  callers: Callers;
}

export function createServices(deps: Deps): Services {
  const publisher = createPublisher(deps);
  const acknowledgements = createAcknowledgements(deps);
  const observation = deps.observation ?? createObservation(deps.now);
  const nodeRevisions = createNodeRevisions(deps);
  const commit = createCommit(deps, { publisher, acknowledgements, nodeRevisions });
  const confirmations = createConfirmations(deps, { publisher, acknowledgements, commit });
  const refusals = createRefusals(deps, acknowledgements);
  const workers = createWorkerService(deps, observation, nodeRevisions, refusals);
  const collector = createCollector(deps, { commit });
  const lease = createLease(deps.database, "periodic", deps.newId(), deps.now);
  const { session_circuits: session, user_circuits: user } = deps.config.proxy_coordinator.limits;
  const allowance = createAllowance({ session, user });
  return {
    publisher,
    acknowledgements,
    commit,
    confirmations,
    refusals,
    observation,
    nodeRevisions,
    workers,
    collector,
    lease,
    allowance,
    callers: createCallers(deps),
  };
}

/** Where it listens, and how others reach it: asked for when somebody calls. */
interface Where {
  address: () => Address;
  baseUrl: () => string;
}

/** The routes of a coordinator, for the server and for the OpenAPI document. */
export function createApp(deps: Deps, services: Services, { address, baseUrl }: Where) {
  const { config, log, database } = deps;
  const { commit, workers } = services;
  const targets = createTargetService(deps, address);
  const conf = createConfService(deps, { commit, targets });
  const hosts = hostsOf(config, machineNames());
  const metrics = createMetrics(deps, services, hosts);
  const circuits = createCircuitService(deps, commit);
  const own = createOwnership(database);
  const authenticator = createAuthenticator(config, hosts);
  const access = accessPlugin(authenticator);
  const proxy = createProxyService(deps, { conf, ...services });
  const endpoints = {
    endpoints: createEndpointService(deps, services),
    routes: createRouteService({ ...services, targets }),
    tokens: createEndpointTokens(deps),
  };
  const features: [tag: string, routes: Route[]][] = [
    ["Status", statusRoutes(baseUrl, createReadiness(deps, services), deps.now)],
    ["Manager", confRoutes(conf)],
    ["Apps", proxyRoutes(proxy, baseUrl)],
    ["Circuits", circuitRoutes(circuits, own)],
    ["Model services", endpointRoutes(endpoints, log)],
    ["Workers", workerRoutes(workers, own)],
    ["Health", healthRoutes(createHealthService(deps))],
    ["Version 1", v1Routes(database, circuits)],
  ];
  const routes = [...features.map(([tag, served]) => plugin(access, tag, served, log)), metricsRoutes(access, metrics)];
  const app = createHttpApp(deps, authenticator, services.callers, (...call) => metrics.answered(...call));
  for (const plugin of routes) app.use(plugin);
  app.use(swaggerRoutes(routes));
  return app;
}
