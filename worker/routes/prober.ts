/** Looks after routes that are left out: a TCP connect every 10 s, until one succeeds or the route is gone (dataplane R2). */
import type { Member, RoutePool } from "./pool.ts";

const PROBE_EVERY_MS = 10_000;

/** Resolves true when the address accepts a TCP connection. Never rejects. */
export type Reach = (host: string, port: number) => Promise<boolean>;

export interface Prober {
  watch(pool: RoutePool, member: Member): void;
  stop(): void;
}

export function createProber(reach: Reach, everyMs = PROBE_EVERY_MS): Prober {
  const timers = new Map<Member, ReturnType<typeof setTimeout>>();

  async function probe(pool: RoutePool, member: Member): Promise<void> {
    const { kernel_host: host, kernel_port: port } = member.route;
    const isBack = await reach(host, port);
    if (!timers.delete(member)) return; // stopped meanwhile
    if (isBack) pool.reached(member);
    else watch(pool, member);
  }

  function watch(pool: RoutePool, member: Member): void {
    if (member.removed || member.outSince === null) return;
    const timer = setTimeout(() => {
      if (member.removed || member.outSince === null) timers.delete(member);
      else void probe(pool, member);
    }, everyMs);
    timers.set(member, timer);
  }

  return {
    watch,
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
