/** What goes on while a fault happens: tenants open, use and close apps, a Manager changes model services. */
import { AUTHORITIES } from "./cluster.ts";
import * as endpoints from "./endpoints.ts";
import type { App, Service } from "./model.ts";
import type { Random } from "./random.ts";
import { nodesOf, type Stage } from "./stage.ts";
import * as tenants from "./tenants.ts";
import * as endings from "./endings.ts";
import { haunt } from "./ghosts.ts";

export interface Workload {
  /** Begins nothing new. */
  silence: () => void;
  /** As `silence`; resolves when what runs has an outcome. */
  stop(): Promise<void>;
}

/** So many apps and services a worker that its few ports are nearly all taken. */
const MAX_APPS = 12;
const MAX_SERVICES = 3;
const ACTORS = { tenant: 3, manager: 1, client: 2 };
/** Between two deeds of an actor. Milliseconds. */
const PAUSE_MS = { tenant: [5, 60], manager: [20, 120], client: [5, 40] } as const;

export function startWorkload(stage: Stage): Workload {
  let stopped = false;
  const work = {
    tenant: (random: Random) => tenantActs(stage, random),
    manager: (random: Random) => managerActs(stage, random),
    client: (random: Random) => clientActs(stage, random),
  };
  async function run(role: keyof typeof ACTORS, random: Random): Promise<void> {
    const [low, high] = PAUSE_MS[role];
    while (!stopped) {
      await work[role](random);
      await Bun.sleep(random.between(low, high));
    }
  }
  const roles = Object.keys(ACTORS) as (keyof typeof ACTORS)[];
  const running = roles.flatMap((role) =>
    Array.from({ length: ACTORS[role] }, (_, at) => run(role, stage.random.fork(`${role} ${at}`))),
  );
  const silence = () => void (stopped = true);
  return {
    silence,
    async stop() {
      silence();
      await Promise.all(running);
    },
  };
}

// --- internal ---

async function tenantActs(stage: Stage, random: Random): Promise<void> {
  const free = stage.apps.filter((app) => !app.isBusy && !app.isKept && !app.isOver);
  const there = stage.apps.filter((app) => app.existence !== "absent");
  const deed = random.weighted(DEEDS).deed;
  const isNew = deed === "open" && there.length < MAX_APPS && random.chance(0.7);
  const app = isNew
    ? tenants.newTenant(stage, random, random.pick(AUTHORITIES))
    : free.length > 0
      ? random.pick(free)
      : null;
  if (app === null) return;
  const [kernel] = app.kernels;
  if (kernel === undefined) return;
  await busily(app, () => act(stage, app, deed, random));
}

const DEEDS = [
  { deed: "open", weight: 4 },
  { deed: "open twice", weight: 1 },
  { deed: "reroute", weight: 2 },
  { deed: "close", weight: 3 },
  { deed: "hand over", weight: 1.5 },
  { deed: "end", weight: 0.7 },
] as const;

async function act(stage: Stage, app: App, deed: (typeof DEEDS)[number]["deed"], random: Random): Promise<void> {
  // The kernel that it has now, or may have: the last one that was wished for.
  const kernel = [...app.kernels].at(-1);
  if (kernel === undefined) return;
  switch (deed) {
    case "open":
      return void (await tenants.open(stage, app, kernel, (nodes) => random.pick(nodes)));
    case "open twice":
      return tenants.openTwice(stage, app, kernel);
    case "reroute": {
      const next = stage.kernels.take(app.sessionId);
      return void (await tenants.open(stage, app, next, null));
    }
    case "close":
      return tenants.close(stage, app, random);
    case "hand over":
      if (app.existence !== "present" || app.kernels.size > 1) return;
      return endings.handOver(stage, app, kernel, random);
    case "end":
      if (app.existence !== "present") return;
      return endings.end(stage, app);
  }
}

async function managerActs(stage: Stage, random: Random): Promise<void> {
  const { services } = stage;
  if (services.length < MAX_SERVICES && random.chance(0.3))
    return endpoints.sync(stage, endpoints.newService(stage, random, random.pick(AUTHORITIES)));
  const free = services.filter((service) => !service.isBusy);
  if (free.length === 0) return;
  const service = random.pick(free);
  await busily(service, async () => {
    if (service.existence === "present" && random.chance(0.7)) return endpoints.reroute(stage, service, random);
    if (service.existence === "present" && random.chance(0.3)) return endpoints.remove(stage, service);
    return endpoints.sync(stage, service);
  });
}

/** Persons come back to their apps, and to those that are gone. */
async function clientActs(stage: Stage, random: Random): Promise<void> {
  const apps = stage.apps.filter((app) => app.slot !== null && app.existence === "present");
  if (apps.length > 0) {
    const app = random.pick(apps);
    await tenants.ask(stage, app, random.pick(nodesOf(stage, app.slot?.authority ?? app.domain)));
  }
  if (stage.ghosts.length === 0 || random.chance(0.7)) return;
  const ghost = random.pick(stage.ghosts);
  await haunt(stage, ghost, random.pick(nodesOf(stage, ghost.slot.authority)));
}

async function busily(one: App | Service, work: () => Promise<void>): Promise<void> {
  one.isBusy = true;
  try {
    await work();
  } finally {
    one.isBusy = false;
  }
}
