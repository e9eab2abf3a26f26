/**
 * The routes of one circuit: which is next, which are out, what runs over each (dataplane R1–R3).
 * A set of routes is replaced as a whole between two requests; a route that stays keeps its record.
 */
import type { Target, Targets } from "../net/targets.ts";
import type { Keeper, Kept } from "../seam/engine.ts";
import type { Route } from "../../shared/protocol/schema/circuit.ts";
import type { RouteStatus } from "../../shared/protocol/schema/health.ts";
import { NOBODY, type Holder } from "./holders.ts";
import { choose, type RoutePolicy, type Weighed } from "./policy.ts";

/** Connects in a row that have to fail before a route is left out. */
const FAILURES_TO_LEAVE = 3;
/** How long a new app may refuse connections because it is still starting. dataplane H15. */
const START_MS = 60_000;

/** Something open that a route carries. Closing it must not throw. */
export interface Carried {
  /** The route or its circuit is gone. */
  close(): void;
  /** The worker stops: says so as the protocol allows, `atOnce` without waiting for anybody; undefined where it can't be said. */
  drain: ((atOnce: boolean) => void) | undefined;
}

export class Upstream implements Weighed, Keeper {
  readonly route: Route;
  readonly target: Target;
  readonly carried = new Set<Carried>();
  readonly kept: Kept[] = [];
  weight: number;
  credit = 0;
  /** Failed connects in a row. */
  failures = 0;
  /** The number of its last failure, if it is left out: two may happen in one millisecond. Null while it is used. */
  outAt: number | null = null;
  /** True once it has accepted a connection. */
  answered = false;
  /** Since when it may be starting. Epoch milliseconds. */
  readonly since: number;
  removed = false;
  /** What HTTP probes say of it; null where there are none, or none has said anything yet. */
  status: RouteStatus = null;
  /** Failed probes in a row that count. */
  misses = 0;
  /** Of the last probe. Epoch milliseconds. */
  checkedAt: number | null = null;

  constructor(route: Route, target: Target, since: number) {
    this.route = route;
    this.target = target;
    this.weight = route.traffic_ratio;
    this.since = since;
  }

  get open(): number {
    return this.carried.size;
  }

  /** It takes no connections; the only one of a circuit is used all the same. */
  get refuses(): boolean {
    return this.outAt !== null || this.failures >= FAILURES_TO_LEAVE;
  }

  /** It is no route of its circuit any more. What it carries may go on. */
  remove(): void {
    this.removed = true;
    for (const one of this.kept.splice(0)) one.close();
  }
}

export interface PoolSettings {
  policy: RoutePolicy;
  /** Epoch milliseconds. */
  now: () => number;
  /** A number in [0, 1). */
  random: () => number;
  targets: Targets;
  /** An upstream is left out from now on: somebody should look when it is back. */
  out: (upstream: Upstream) => void;
}

export class RoutePool {
  readonly #settings: PoolSettings;
  #upstreams: readonly Upstream[] = [];
  /** Upstreams that get traffic. Cached: asked for with every request. */
  #used: readonly Upstream[] = [];
  /** For whom what is open counts besides. */
  holders: readonly Holder[] = NOBODY;
  /** How often one of them has answered: who remembers a trouble sees that it is over. */
  answers = 0;
  /** Failures so far. */
  #failures = 0;
  /** Upstreams that are gone and still carry something that may finish. */
  #leaving: Upstream[] = [];

  constructor(settings: PoolSettings) {
    this.#settings = settings;
  }

  /** Takes a new set. Gives the upstreams that are no longer in it. `since` is when the new ones may have started. */
  set(routes: readonly Route[], since: number): Upstream[] {
    const known = new Map(this.#upstreams.map((upstream) => [keyOf(upstream.route), upstream]));
    // The same route twice is one: a second upstream of its key would be lost with the next set.
    const unique = [...new Map(routes.map((route) => [keyOf(route), route])).values()];
    const upstreams = unique.map((route) => {
      const key = keyOf(route);
      const upstream = known.get(key);
      known.delete(key);
      return upstream === undefined ? this.#newUpstream(route, since) : reweighed(upstream, route);
    });
    this.#upstreams = upstreams;
    this.#renew();
    const gone = [...known.values()];
    for (const upstream of gone) upstream.remove();
    this.#leaving = [...this.#leaving, ...gone].filter(({ open }) => open > 0);
    return gone;
  }

  get upstreams(): readonly Upstream[] {
    return this.#upstreams;
  }

  /** The next upstream that is not among `tried`; null when there is none. */
  pick(tried?: ReadonlySet<Upstream>): Upstream | null {
    const { policy, random } = this.#settings;
    if (tried === undefined && this.#used.length > 0) return choose(this.#used, policy, random) ?? null;
    const left = (upstreams: readonly Upstream[]) => upstreams.filter((upstream) => tried?.has(upstream) !== true);
    const upstream = choose(left(this.#used), policy, random);
    if (upstream !== undefined) return upstream;
    // All are out: a 503 without trying helps nobody. Unwell ones still take connections.
    const unwell = left(this.#upstreams).filter(({ weight, outAt }) => weight > 0 && outAt === null);
    if (unwell.length > 0) return choose(unwell, policy, random) ?? null;
    const resting = left(this.#upstreams).filter(({ weight }) => weight > 0);
    return resting.toSorted((a, b) => (a.outAt ?? 0) - (b.outAt ?? 0))[0] ?? null;
  }

  /** It could not be connected to. */
  connectFailed(upstream: Upstream): void {
    upstream.failures++;
    if (upstream.failures < FAILURES_TO_LEAVE || upstream.removed) return;
    const only = this.#upstreams.every((other) => other === upstream || other.weight === 0);
    if (only) return;
    const first = upstream.outAt === null;
    // Also when it was out before: the others that are out come first next time.
    upstream.outAt = ++this.#failures;
    if (!first) return;
    this.#renew();
    this.#settings.out(upstream);
  }

  /** It takes requests over a connection that was kept. */
  used(upstream: Upstream): void {
    this.answers++;
    upstream.answered = true;
  }

  /** It has accepted a connection. */
  connected(upstream: Upstream): void {
    this.used(upstream);
    upstream.failures = 0;
    if (upstream.outAt === null) return;
    upstream.outAt = null;
    this.#renew();
  }

  /** What a probe found. An unhealthy upstream is left out until one finds it healthy. */
  judge(upstream: Upstream, status: RouteStatus): void {
    const wasOut = upstream.status === "unhealthy";
    upstream.status = status;
    if (wasOut !== (status === "unhealthy")) this.#renew();
  }

  /** True for a young upstream that has never accepted a connection. */
  mayStart({ answered, since }: Upstream): boolean {
    return !answered && this.#settings.now() - since < START_MS;
  }

  /** Everything that is open over any of its routes, those that are gone included. */
  *carried(): Iterable<Carried> {
    for (const { carried } of [...this.#upstreams, ...this.#leaving]) yield* carried;
  }

  /** How much is open, over routes that are gone too. */
  get open(): number {
    let open = 0;
    for (const upstream of this.#upstreams) open += upstream.open;
    for (const upstream of this.#leaving) open += upstream.open;
    return open;
  }

  // --- internal ---

  #newUpstream(route: Route, since: number): Upstream {
    return new Upstream(route, this.#settings.targets(route.kernel_host, route.kernel_port), since);
  }

  #renew(): void {
    this.#used = this.#upstreams.filter(
      ({ weight, outAt, status }) => weight > 0 && outAt === null && status !== "unhealthy",
    );
  }
}

/** The same host and port with another id is a new kernel with a clean record. */
export function keyOf({ route_id: id, session_id: session, kernel_host: host, kernel_port: port }: Route): string {
  return `${id ?? ""} ${session} ${host} ${port}`;
}

// --- internal ---

function reweighed(upstream: Upstream, { traffic_ratio: weight }: Route): Upstream {
  upstream.weight = weight;
  return upstream;
}
