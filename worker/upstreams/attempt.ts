/**
 * One request or connection on its way over one route: counts for the pool's balance, reports how the route did,
 * and can be ended when the route goes. Made by the core, used by engines.
 */
import type { Target } from "../net/targets.ts";
import type { UpstreamFault } from "../net/upstream-fault.ts";
import type { Attempt, Progress } from "../seam/engine.ts";
import { isConnectFailure, mayRepeat, mayTryNext } from "./attempts.ts";
import type { Holder } from "./holders.ts";
import type { Carried, Upstream, RoutePool } from "./pool.ts";

/** Where its use is told. */
export interface Reports {
  /** Bytes moved. */
  moved: () => void;
  /** A connection is open, until what is returned is called. */
  opened: () => () => void;
}

/** What travels: a request and its answer, or a connection that counts as use while it is open (WebSocket, TCP). */
export type Travels = "request" | "connection";

export class RouteAttempt implements Attempt, Carried {
  readonly upstream: Upstream;
  readonly moved: () => void;
  drain: ((atOnce: boolean) => void) | undefined = undefined;
  ended: () => void = nothing;
  readonly #pool: RoutePool;
  readonly #use: Reports;
  readonly #travels: Travels;
  readonly #closed: () => void;
  /** For whom it counts: the circuit may be another one's before it is over. */
  readonly #holders: readonly Holder[];
  #tried: Set<Upstream> | undefined;
  #stop: () => void = () => undefined;
  #isStopped = false;

  /** `use` is told of every chunk, and of a connection while it is open. */
  constructor(pool: RoutePool, upstream: Upstream, use: Reports, travels: Travels, tried?: Set<Upstream>) {
    this.upstream = upstream;
    this.moved = use.moved;
    this.#use = use;
    this.#travels = travels;
    this.#closed = travels === "connection" ? use.opened() : nothing;
    this.#pool = pool;
    this.#tried = tried;
    this.#holders = pool.holders;
    upstream.carried.add(this);
    for (const holder of this.#holders) holder.enter();
  }

  get target(): Target {
    return this.upstream.target;
  }

  get starting(): boolean {
    return this.#pool.mayStart(this.upstream);
  }

  get stop(): () => void {
    return this.#stop;
  }

  /** Its route may have gone before the engine could say how to end it. */
  set stop(stop: () => void) {
    this.#stop = stop;
    if (this.#isStopped) stop();
  }

  close(): void {
    this.#isStopped = true;
    this.#stop();
  }

  connected(isNew: boolean): void {
    if (isNew) this.#pool.connected(this.upstream);
    else this.#pool.used(this.upstream);
  }

  next({ kind }: UpstreamFault, progress: Progress): RouteAttempt | null {
    if (isConnectFailure(kind)) this.#pool.connectFailed(this.upstream);
    const { ended } = this;
    this.ended = nothing;
    this.release();
    const upstream = this.#nextUpstream(kind, progress);
    if (upstream === null) {
      ended();
      return null;
    }
    const next = new RouteAttempt(this.#pool, upstream, this.#use, this.#travels, this.#tried);
    next.ended = ended;
    return next;
  }

  release(): void {
    if (!this.upstream.carried.delete(this)) return;
    for (const holder of this.#holders) holder.leave();
    this.#closed();
    this.ended();
  }

  // --- internal ---

  #nextUpstream(kind: UpstreamFault["kind"], progress: Progress): Upstream | null {
    if (mayRepeat(kind, progress) && !this.upstream.removed) return this.upstream;
    if (!mayTryNext(kind, progress)) return null;
    this.#tried ??= new Set();
    this.#tried.add(this.upstream);
    return this.#pool.pick(this.#tried);
  }
}

// --- internal ---

function nothing(): void {}
