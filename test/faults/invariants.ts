/**
 * What must be true when a fault is over: of the database by itself, of the database and what tenants were told, and of
 * what every node does with a request. Run when nothing else is going on.
 */
import { AUTHORITIES, type Authority } from "./cluster.ts";
import type { Stored, StoredCircuit, StoredWorker } from "./database.ts";
import * as endpoints from "./endpoints.ts";
import { label, type App, type Service } from "./model.ts";
import { nodesOf, type Stage } from "./stage.ts";
import { listingFaults, slotFaults } from "./tables.ts";
import * as tenants from "./tenants.ts";
import { haunt } from "./ghosts.ts";
import { accepts } from "./visits.ts";

/** Checks everything; what is broken goes into the timeline. In the end (`isLast`) nothing is unknown any more. */
export async function checkInvariants(stage: Stage, stored: Stored, isLast: boolean): Promise<void> {
  checkTables(stage, stored);
  const owned = new Set<string>();
  for (const app of stage.apps) checkApp(stage, app, stored, owned, isLast);
  for (const service of stage.services) checkService(stage, service, stored, owned, isLast);
  for (const { id, app } of stored.circuits)
    if (!owned.has(id)) stage.timeline.broken(`circuit ${id} (${app}) is in the database, and belongs to nobody`);
  await Promise.all([
    ...stage.apps.map((app) => checkServed(stage, app, stored, isLast)),
    ...stage.services.map((service) => checkServiceServed(stage, service, stored)),
    ...stored.workers.map((worker) => checkFreePorts(stage, worker)),
    ...stage.ghosts.flatMap((ghost) => nodesOf(stage, ghost.slot.authority).map((node) => haunt(stage, ghost, node))),
  ]);
}

// --- internal ---

/** Of the database by itself. */
function checkTables({ timeline, cluster }: Stage, stored: Stored): void {
  const rangeOf = ({ authority }: StoredWorker) => authority === "B" && cluster.profile.shape === "wildcard" ? null : cluster.ports; // prettier-ignore
  for (const fault of [...slotFaults(stored, rangeOf), ...listingFaults(stored)]) timeline.broken(fault);
}

function checkApp({ timeline }: Stage, app: App, stored: Stored, owned: Set<string>, isLast: boolean): void {
  const rows = stored.circuits.filter(
    (row) => row.app === app.name && row.routes.some((route) => route.session_id === app.sessionId),
  );
  for (const row of rows) owned.add(row.id);
  const ids = rows.map(({ id }) => id).join();
  if (app.existence === "absent" && rows.length > 0)
    timeline.broken(`${label(app)} was closed, and has circuit ${ids}`);
  if (app.existence === "unknown" && isLast)
    timeline.broken(`${label(app)}: whether it has a circuit is still unknown`);
  if (app.existence !== "present") return;
  if (rows.length === 0) return timeline.broken(`${label(app)}: circuit ${app.circuitId ?? ""} is lost`);
  if (ids !== app.circuitId) timeline.broken(`${label(app)} was given circuit ${app.circuitId ?? ""}, and has ${ids}`);
  if (app.kernels.size > 1 && !isLast) return;
  const leads = rows.flatMap(({ routes }) => routes).map((route) => `${route.session_id} ${route.kernel_port}`);
  const wanted = [...app.kernels].map(({ port }) => `${app.sessionId} ${port}`);
  if (leads.join() !== wanted.join()) timeline.broken(`${label(app)} leads to ${leads.join()}, not ${wanted.join()}`);
}

function checkService(
  { timeline }: Stage,
  service: Service,
  stored: Stored,
  owned: Set<string>,
  isLast: boolean,
): void {
  const rows = stored.circuits.filter(({ endpointId }) => endpointId === service.id);
  for (const row of rows) owned.add(row.id);
  if (service.existence === "unknown" && !isLast) return;
  const wanted = service.existence === "absent" ? 0 : 1;
  if (rows.length !== wanted)
    timeline.broken(`service ${service.id} is ${service.existence}, and has ${rows.length} circuits`);
  const [row] = rows;
  if (row === undefined || service.existence !== "present" || (!service.isSettled && !isLast)) return;
  const [found, expected] = [row.routes.map(({ route_id: id }) => id ?? ""), [...service.routes.keys()]];
  if (found.toSorted().join() !== expected.toSorted().join())
    timeline.broken(`service ${service.id} has routes ${found.join()}, not ${expected.join()}`);
}

function authorityOf({ workers }: Stored, circuit: StoredCircuit | undefined): Authority | undefined {
  const name = workers.find(({ id }) => id === circuit?.workerId)?.authority;
  return AUTHORITIES.find((one) => one === name);
}

/** Every node of its worker lets its person in and has its own kernel answer. */
async function checkServed(stage: Stage, app: App, stored: Stored, isLast: boolean): Promise<void> {
  const row = stored.circuits.find(({ id }) => id === app.circuitId);
  const authority = authorityOf(stored, row);
  if (app.existence !== "present" || row === undefined || authority === undefined) return;
  if (app.slot === null && !isLast) return;
  if (app.slot === null) return stage.timeline.broken(`${label(app)}: nobody can enter its circuit ${row.id}`);
  app.slot = { authority, port: row.port, subdomain: row.subdomain };
  for (const node of nodesOf(stage, authority)) {
    const answer = await tenants.ask(stage, app, node);
    const isRight = answer.is === "answered" && [...app.kernels].some(({ port }) => port === answer.by.port);
    if (!isRight)
      stage.timeline.broken(
        `${label(app)} (circuit ${row.id}) is not served by ${node.machine.name}: ${JSON.stringify(answer)}`,
      );
  }
}

async function checkServiceServed(stage: Stage, service: Service, stored: Stored): Promise<void> {
  const row = stored.circuits.find(({ endpointId }) => endpointId === service.id);
  const authority = authorityOf(stored, row);
  if (row === undefined || authority === undefined || service.routes.size === 0 || service.token === null) return;
  if (!service.isSettled) return;
  for (const node of nodesOf(stage, authority)) {
    const answer = await endpoints.query(stage, service, node, { authority, port: row.port, subdomain: row.subdomain });
    const isRight =
      answer.is === "answered" && [...service.routes.values()].some(({ port }) => port === answer.by.port);
    if (!isRight)
      stage.timeline.broken(`service ${service.id} is not served by ${node.machine.name}: ${JSON.stringify(answer)}`);
  }
}

/** A port without a circuit is closed. */
async function checkFreePorts(stage: Stage, { authority, freePorts }: StoredWorker): Promise<void> {
  for (const { host, machine } of stage.cluster.nodes.filter((node) => node.authority === authority))
    for (const port of freePorts)
      if (await accepts(host, port))
        stage.timeline.broken(`port ${port} of ${machine.name} has no circuit, and takes connections`);
}
