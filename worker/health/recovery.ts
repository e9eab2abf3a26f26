/** Looks after routes that are left out: a TCP connect every 10 s, until one succeeds or the route is gone (dataplane R2). */
import type { Member, RoutePool } from "../upstreams/pool.ts";

const PROBE_EVERY_MS = 10_000;

/** Resolves true when the address accepts a TCP connection. Never rejects. */
export type Reach = (host: string, port: number) => Promise<boolean>;

export interface Prober {
  /** Looks after a member until it is used again or gone. More than once does no harm. */
  watch(pool: RoutePool, member: Member): void;
  stop(): void;
}

export function createProber(reach: Reach, everyMs = PROBE_EVERY_MS): Prober {
  /** The next look at each member; null while one is under way. */
  const watched = new Map<Member, ReturnType<typeof setTimeout> | null>();

  function later(pool: RoutePool, member: Member): void {
    const timer = setTimeout(() => void look(pool, member), everyMs);
    watched.set(member, timer);
  }

  async function look(pool: RoutePool, member: Member): Promise<void> {
    if (isOut(member)) {
      watched.set(member, null);
      const { kernel_host: host, kernel_port: port } = member.route;
      const isBack = await reach(host, port);
      if (!watched.has(member)) return; // stopped meanwhile
      if (isBack) pool.connected(member);
    }
    if (isOut(member)) later(pool, member);
    else watched.delete(member);
  }

  return {
    watch(pool, member) {
      if (isOut(member) && !watched.has(member)) later(pool, member);
    },
    stop() {
      for (const timer of watched.values()) if (timer !== null) clearTimeout(timer);
      watched.clear();
    },
  };
}

// --- internal ---

function isOut({ removed, outAt }: Member): boolean {
  return !removed && outAt !== null;
}
