/**
 * Secrets rotate with nobody refused: old ones, then new ones with the old as previous, then new ones alone. Coordinator and
 * worker are processes that are killed and started again one by one, in every order, while people and programs go on.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createClient } from "../../shared/client/client.ts";
import { operations } from "../../shared/protocol/operations.ts";
import { workerJwtSecret, workerSecret } from "../../shared/protocol/worker-secret.ts";
import { startApp, type App } from "../support/app.ts";
import { follow, type Manager } from "../support/manager.ts";
import { OWNER, service } from "../support/model-service.ts";
import { until } from "../support/until.ts";
import { AUTHORITY, openSecretSite, type Secrets, type SecretSite } from "../support/secret-site.ts";

/** Four restarts, and all that is tried after each. Milliseconds. */
const ROTATION_MS = 240_000;
/** A setup link lives for a minute: one that a slow machine has kept for longer proves nothing. Milliseconds. */
const LINK_MS = 45_000;
const ENDPOINT = "9d3a6b1c-4f0e-4a7d-8c52-1e6f7a8b9c0d";

type Which = "coordinator" | "worker";
const ORDERS: Which[][] = [
  ["coordinator", "worker", "coordinator", "worker"],
  ["coordinator", "worker", "worker", "coordinator"],
  ["worker", "coordinator", "coordinator", "worker"],
  ["worker", "coordinator", "worker", "coordinator"],
];

/** The n-th secret of a kind. */
const nth = (kind: string, n: number) => `the-${kind}-number-${n}-0123456789`;

/** What a site's two services have of the n-th secrets, and of those before where these still count. */
interface Kind {
  coordinator(n: number, previous: number[]): Secrets;
  worker(n: number, previous: number[]): Secrets;
}

const SHARED: Kind = {
  coordinator: (n, previous) => ({
    api_secret: nth("api", n),
    previous_api_secrets: previous.map((old) => nth("api", old)),
    jwt_secret: nth("jwt", n),
    previous_jwt_secrets: previous.map((old) => nth("jwt", old)),
  }),
  worker: (n, previous) => SHARED.coordinator(n, previous),
};

/** The worker has secrets of its own, and none that is the platform's. */
const OWN: Kind = {
  coordinator: (n, previous) => ({
    ...SHARED.coordinator(n, previous),
    worker_secret: nth("worker", n),
    previous_worker_secrets: previous.map((old) => nth("worker", old)),
  }),
  worker: (n, previous) => ({
    api_secret: "",
    worker_secret: workerSecret(nth("worker", n), AUTHORITY),
    previous_worker_secrets: previous.map((old) => workerSecret(nth("worker", old), AUTHORITY)),
    jwt_secret: workerJwtSecret(nth("jwt", n), AUTHORITY),
    previous_jwt_secrets: previous.map((old) => workerJwtSecret(nth("jwt", old), AUTHORITY)),
  }),
};

/** An address is one session's: the people's apps are all of one, and the model service's kernel is another. */
const [app, kernel]: App[] = [startApp(), startApp()];
afterAll(() => Promise.all([app?.stop(), kernel?.stop()]));

describe.each<[string, Kind, Which[][]]>([
  ["shared secrets", SHARED, ORDERS],
  ["a worker's own", OWN, [ORDERS[1] ?? [], ORDERS[2] ?? []]],
])("%s", (_what, kind, orders) => {
  let site: SecretSite;
  let world: World;
  /** Which secrets are in use. */
  let now = 1;

  beforeAll(async () => {
    site = await openSecretSite();
    await site.startCoordinator(kind.coordinator(now, []));
    await site.startWorker(kind.worker(now, []));
    world = new World(site);
    await world.makeService(nth("api", now));
    await world.goesOn([nth("api", now)]);
  }, ROTATION_MS);
  afterAll(() => site.stop());

  test.each(orders.map((order) => [order.join(", "), order] as const))(
    "rotate: %s",
    async (_order, order) => {
      const [old, next] = [now, ++now];
      const before = await world.mint(nth("api", old));
      const has = { coordinator: 0, worker: 0 };
      for (const which of order) {
        const stage = ++has[which];
        const secret = nth("api", has.coordinator === 2 ? next : old);
        await world.restart(which, kind[which](next, stage === 1 ? [old] : []), secret);
        // The Manager has its new one once the coordinator knows it, and until then the old one.
        const taken = [nth("api", old), nth("api", next)].slice(...([[0, 1], [0, 2], [1, 2]][has.coordinator] ?? [])); // prettier-ignore
        if (has.worker < 2) expect([which, await world.uses(before)]).toEqual([which, 200]);
        await world.goesOn(taken);
      }
      // What was given out before has ended with the secrets that have signed it.
      expect(await world.uses(before)).toBe(401);
      expect((await site.manager(nth("api", old)).api("GET", "/api/circuits")).status).toBe(401);
      expect(world.tried.links).toBeGreaterThan(0);
      const bad = ["event dropped", "coordinator refuses this worker; serving the last known circuits"];
      expect(site.lines().filter(({ msg }) => bad.includes(String(msg)))).toEqual([]);
    },
    ROTATION_MS,
  );
});

// --- internal ---

/** The people and programs of a site. */
class World {
  readonly #site: SecretSite;
  /** Those who were let in, newest last. */
  readonly #people: { origin: string; cookie: string }[] = [];
  #link: { url: string; at: number } | null = null;
  readonly #session = crypto.randomUUID();
  #opened = 0;
  #service = "";
  tried = { links: 0 };

  constructor(site: SecretSite) {
    this.#site = site;
  }

  /** A model service with the app as its kernel. */
  async makeService(secret: string): Promise<void> {
    const manager = this.#site.manager(secret);
    const client = createClient(operations, { baseUrl: manager.baseUrl, secret });
    this.#service = (await client.syncEndpoint({ endpoint_id: ENDPOINT, body: service() })).endpoint;
    const route = { route_id: crypto.randomUUID(), session_id: crypto.randomUUID(), ...at(kernel) };
    await client.replaceRoutes({ body: { endpoints: [{ deployment_id: ENDPOINT, routes: [route] }] } });
  }

  /** A token for the model service, good for a day. */
  async mint(secret: string): Promise<string> {
    const body = { user_uuid: OWNER, exp: Math.floor(Date.now() / 1000) + 86_400 };
    const { body: answer } = await this.#site.manager(secret).api("POST", `/v2/endpoints/${ENDPOINT}/token`, body);
    return String(answer["token"]);
  }

  async uses(token: string): Promise<number> {
    const answer = await fetch(this.#service, { headers: { Authorization: `Bearer ${token}` } });
    await answer.body?.cancel();
    return answer.status;
  }

  /** Kills a service and starts it with other secrets. An app that is opened while the worker is down opens when it is up. */
  async restart(which: Which, secrets: Secrets, secret: string): Promise<void> {
    await this.#site.kill(which);
    if (which === "coordinator") return this.#site.startCoordinator(secrets);
    const waiting = this.#open(this.#site.manager(secret));
    await this.#site.startWorker(secrets);
    await this.#enter(await waiting);
  }

  /** All that people and programs do works; Managers have these secrets. */
  async goesOn(secrets: readonly string[]): Promise<void> {
    for (const { origin, cookie } of this.#people.slice(-5)) expect(await visit(origin, cookie)).toBe(200);
    if (this.#link !== null && performance.now() - this.#link.at < LINK_MS) {
      await this.#enter(this.#link.url);
      this.tried.links += 1;
    }
    for (const secret of secrets) await this.#enter(await this.#open(this.#site.manager(secret)));
    const secret = secrets.at(-1) ?? "";
    // As long as a node that was killed counts as alive, tokens are signed so that it could read them.
    const client = createClient(operations, { baseUrl: this.#site.manager(secret).baseUrl, secret });
    await until(async () => (await client.listWorkers({})).workers[0]?.nodes === 1);
    const token = await this.mint(secret);
    expect(await this.uses(token)).toBe(200);
    this.#link = { url: await this.#open(this.#site.manager(secret)), at: performance.now() };
  }

  /** A link to a new app. */
  async #open(manager: Manager): Promise<string> {
    const session = { id: this.#session, user_uuid: OWNER, access_key: "AK", domain_name: "default" };
    const conf = { ...at(app), session };
    const { status, body } = await manager.api("POST", "/v2/conf", conf);
    expect([status, body]).toEqual([200, { token: expect.any(String) }]);
    const opened = await manager.auth(String(body["token"]), this.#session, { app: `app-${++this.#opened}` });
    expect(opened).toMatchObject({ status: 200 });
    return String(opened.body["redirect_url"]);
  }

  async #enter(link: string): Promise<void> {
    const { origin, cookie } = await follow(link);
    expect(await visit(origin, cookie)).toBe(200);
    this.#people.push({ origin, cookie });
  }
}

function at(one: App | undefined): { kernel_host: string; kernel_port: number } {
  return { kernel_host: "127.0.0.1", kernel_port: one?.port ?? 0 };
}

async function visit(origin: string, cookie: string): Promise<number> {
  const answer = await fetch(`${origin}/`, { headers: { Cookie: cookie } });
  await answer.body?.cancel();
  return answer.status;
}
