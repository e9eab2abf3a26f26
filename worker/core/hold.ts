/**
 * A page that loads itself again (starting, 502) need not do so every second: its request waits here until the app takes
 * connections, or some seconds. Meanwhile the browser shows the page that it has, without a flash, and the address keeps
 * its `#fragment`. Who else comes is answered at once.
 */
import { within } from "../../shared/runtime/deadline.ts";
import type { RequestHead } from "../seam/engine.ts";
import type { Target } from "../net/targets.ts";
import type { Entry } from "../circuits/table.ts";
import { troubleOf, type Trouble } from "../circuits/trouble.ts";

export interface HoldDeps {
  /** Whether an app accepts a connection. */
  reach: (target: Target) => Promise<boolean>;
  /** Epoch milliseconds. */
  now: () => number;
}

/** Gives null for who need not wait. */
export type Hold = (entry: Entry, head: RequestHead) => Promise<void> | null;

export function createHold({ reach, now }: HoldDeps): Hold {
  /** All pages of an app wait for one poll. */
  const polls = new WeakMap<Trouble, Promise<void>>();

  function waiting(entry: Entry, trouble: Trouble): Promise<void> {
    const known = polls.get(trouble);
    if (known !== undefined) return known;
    const poll = untilThere(entry, trouble).finally(() => polls.delete(trouble));
    polls.set(trouble, poll);
    return poll;
  }

  async function untilThere(entry: Entry, trouble: Trouble): Promise<void> {
    const end = performance.now() + HOLD_MS;
    while (performance.now() < end && entry.trouble === trouble && entry.pool.answers === trouble.answers) {
      const probes = entry.pool.upstreams.slice(0, MAX_PROBED).map(({ target }) => reach(target));
      const found = await within(end - performance.now(), Promise.all(probes));
      if (found?.includes(true) === true) return;
      await Bun.sleep(POLL_MS);
    }
  }

  return (entry, head) => {
    if (entry.trouble === null || !isReturning(head)) return null;
    const trouble = troubleOf(entry, now());
    return trouble === null ? null : waiting(entry, trouble);
  };
}

// --- internal ---

/** Shorter than any proxy waits that may be in front. Milliseconds. */
const HOLD_MS = 5000;
const POLL_MS = 250;
/** Kernels of an app that are probed. */
const MAX_PROBED = 4;

/** A refresh says that it comes from the very page that it asks for; a person's own reload repeats where they came from first. */
function isReturning(head: RequestHead): boolean {
  const referer = head.header("referer");
  if (head.method !== "GET" || head.upgrade || referer === null || !URL.canParse(referer)) return false;
  const { host, pathname, search } = new URL(referer);
  return pathname + search === head.target && host === head.authority;
}
