/** Looks after routes that are left out: a TCP connect every 10 s, until one succeeds or the route is gone (dataplane R2). */
import type { Target } from "../net/targets.ts";
import type { Upstream, RoutePool } from "../upstreams/pool.ts";

const PROBE_EVERY_MS = 10_000;

/** Resolves true when the target accepts a TCP connection. Never rejects. */
export type Reach = (target: Target) => Promise<boolean>;

export interface Prober {
  /** Looks after an upstream until it is used again or gone. More than once does no harm. */
  watch(pool: RoutePool, upstream: Upstream): void;
  stop(): void;
}

export function createProber(reach: Reach, everyMs = PROBE_EVERY_MS): Prober {
  /** The next probe of each upstream; null while one is under way. */
  const watched = new Map<Upstream, ReturnType<typeof setTimeout> | null>();

  function later(pool: RoutePool, upstream: Upstream): void {
    const timer = setTimeout(() => void probe(pool, upstream), everyMs);
    watched.set(upstream, timer);
  }

  async function probe(pool: RoutePool, upstream: Upstream): Promise<void> {
    if (isOut(upstream)) {
      watched.set(upstream, null);
      const isBack = await reach(upstream.target);
      if (!watched.has(upstream)) return; // stopped meanwhile
      if (isBack) pool.connected(upstream);
    }
    if (isOut(upstream)) later(pool, upstream);
    else watched.delete(upstream);
  }

  return {
    watch(pool, upstream) {
      if (isOut(upstream) && !watched.has(upstream)) later(pool, upstream);
    },
    stop() {
      for (const timer of watched.values()) if (timer !== null) clearTimeout(timer);
      watched.clear();
    },
  };
}

// --- internal ---

function isOut({ removed, outAt }: Upstream): boolean {
  return !removed && outAt !== null;
}
