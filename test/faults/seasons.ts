/** What comes before and after a fault: tenants settle in, find out what they do not know, and leave. */
import { AUTHORITIES } from "./cluster.ts";
import { converge } from "./convergence.ts";
import * as endpoints from "./endpoints.ts";
import { label, type App } from "./model.ts";
import { type Stage } from "./stage.ts";
import * as tenants from "./tenants.ts";

const QUIET_MS = 5000;
/** Of opening what may not be there. */
const MAX_ATTEMPTS = 10;

/** Tenants of before come and go, and leave their ports, their kernels' addresses and their permits; then today's come. */
export async function settleIn(stage: Stage): Promise<void> {
  const { random, timeline, apps, kernels } = stage;
  for (const domain of AUTHORITIES) await openNew(stage, domain);
  for (const app of apps) {
    const { slot, cookie } = app;
    if (slot !== null) stage.ghosts.push({ what: `${label(app)} of before`, slot, cookie, revision: 0 });
    await tenants.close(stage, app, random);
  }
  await quiet(stage, "tenants of before are gone");
  for (const app of apps) for (const kernel of app.kernels) kernels.release(kernel);
  apps.length = 0;
  for (const domain of AUTHORITIES) {
    const kept = await openNew(stage, domain);
    kept.isKept = true;
    await openNew(stage, domain);
    const service = endpoints.newService(stage, random, domain);
    await endpoints.sync(stage, service);
    await endpoints.mint(stage, service);
    service.routes.set(random.uuid(), kernels.take(service.id));
    await endpoints.settleRoutes(stage, service);
  }
  await quiet(stage, "tenants have settled in");
  timeline.note("trial", `${apps.length} apps, ${stage.services.length} services`);
}

/**
 * Makes every call again whose outcome is unknown, until it tells; and enters every circuit, which opens it again: the same
 * circuit, as it was promised.
 */
export async function settle(stage: Stage, until: number): Promise<void> {
  await Promise.all([
    ...stage.apps.map((app) => settleApp(stage, app, until)),
    ...stage.services.map((service) => settleService(stage, service, until)),
  ]);
}

/** Everybody leaves; nothing is left of anybody. */
export async function leave(stage: Stage): Promise<void> {
  const ids = stage.apps.map(({ circuitId }) => circuitId).filter((id) => id !== null);
  await stage.calls.api("DELETE", "/api/circuit/_/bulk", { circuit_ids: ids });
  const endpoints = stage.services.map(({ id }) => ({ deployment_id: id }));
  await stage.calls.api("DELETE", "/v2/endpoints/bulk", { endpoints });
  const stored = await quiet(stage, "everybody has left");
  if (stored !== null && stored.circuits.length > 0)
    stage.timeline.broken(`circuits are left: ${stored.circuits.map(({ id }) => id).join()}`);
}

// --- internal ---

async function openNew(stage: Stage, domain: App["domain"]): Promise<App> {
  const app = tenants.newTenant(stage, stage.random, domain);
  const [kernel] = app.kernels;
  const isOpen = kernel !== undefined && (await tenants.open(stage, app, kernel, (nodes) => stage.random.pick(nodes)));
  if (!isOpen || app.slot === null) throw new Error(`${label(app)} can't be opened before the fault`);
  return app;
}

async function quiet({ cluster, timeline }: Stage, what: string) {
  const state = await converge(cluster, performance.now(), QUIET_MS);
  if (typeof state === "string") {
    timeline.broken(`${what}, and no fault is there: ${state}`);
    return null;
  }
  timeline.note("trial", `${what}: tables agree after ${state.after.toFixed(0)} ms`);
  return state.stored;
}

async function settleApp(stage: Stage, app: App, until: number): Promise<void> {
  const random = stage.random.fork(app.sessionId);
  // Never opened with success, or not for sure: some are closed, the others are opened again.
  const isWanted = !app.isOver && (app.existence === "present" || (app.existence === "unknown" && random.chance(0.6)));
  for (let attempt = 0; ; attempt++) {
    const kernel = [...app.kernels].at(-1);
    // Where all ports are taken it can't be opened, and has to be given up.
    const isGivenUp = !isWanted || (app.existence !== "present" && attempt > MAX_ATTEMPTS);
    if (kernel === undefined || (isGivenUp && app.existence === "absent")) return;
    if (isGivenUp) await tenants.close(stage, app, random);
    else if ((await tenants.open(stage, app, kernel, (nodes) => random.pick(nodes))) && app.slot !== null) return;
    if (performance.now() > until) return;
    await Bun.sleep(50);
  }
}

async function settleService(stage: Stage, service: Stage["services"][number], until: number): Promise<void> {
  for (;;) {
    if (service.existence === "absent") return;
    if (service.existence === "unknown") await endpoints.sync(stage, service);
    if (service.existence === "present" && !service.isSettled) await endpoints.settleRoutes(stage, service);
    if (service.existence === "present" && service.token === null) await endpoints.mint(stage, service);
    if (service.existence === "present" && service.isSettled && service.token !== null) return;
    if (performance.now() > until) return stage.timeline.broken(`service ${service.id} can't be brought in order`);
    await Bun.sleep(50);
  }
}
