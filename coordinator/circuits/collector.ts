/**
 * Collects interactive circuits that nobody uses (consistency 8). A false silence would cut a user's work, so silence
 * counts only where it is known: a circuit goes when Redis, asked again and again, has told no new use of it, and the
 * circuit's worker had nothing left to write. What is missing in Redis is unknown, and its time begins anew.
 *
 * Times of use are noted in `circuits.used_at` by this coordinator's clock, and what Redis said then beside it: another word
 * of it is use, whatever time it names, so that a worker's clock does not matter and a restart forgets nothing. What was
 * noted is exact to a tenth of the timeout, and a circuit goes that much later.
 */
import { reason } from "../../shared/failure.ts";
import type { Commit } from "../delivery/commit.ts";
import type { Deps } from "../deps.ts";
import { unknownUse } from "../store/workers.ts";
import { getCircuit, interactivePage, type Idle, type Use } from "../store/circuit-queries.ts";
import * as store from "../store/circuits.ts";
import { ITSELF } from "../store/store.ts";

export interface Collector {
  /** Looks at all interactive circuits. Never rejects. */
  pass(): Promise<void>;
  /** What was seen so far does not count: this process was not there, or its clock was set. */
  forget(clockWasSet: boolean): void;
  /** False while Redis does not say which circuits are in use. */
  knows(): boolean;
  /** How many circuits it has collected. */
  collected(): number;
}

/** Circuits that are looked at together; between two pages others have their turn. */
const PAGE = 1000;
/** A silence is watched for so long at least: Redis may be back before the workers have written what they had. */
const WATCH_MS = 30_000;

interface Seen {
  /** What Redis said; null when it had nothing. */
  lastAccess: number | null;
  /** Since when it says so, by the steady clock. */
  since: number;
}

interface Services {
  commit: Commit;
  /** Milliseconds of a clock that nobody sets. */
  steady?: () => number;
}

export function createCollector(
  { config, database, live, now, log }: Deps,
  { commit, steady = () => performance.now() }: Services,
): Collector {
  const timeout = config.proxy_coordinator.unused_circuit_collection_timeout * 1000;
  const watch = Math.min(timeout, WATCH_MS);
  /** Of `used_at`: noting every use would be a commit a circuit and pass. */
  const exactness = timeout / 10;
  /** What was seen of each circuit at the last pass. */
  let seen = new Map<string, Seen>();
  let collected = 0;
  /** Nothing was idle before: epoch milliseconds. */
  let notBefore = -Infinity;
  let isAway = false;

  async function pass(): Promise<void> {
    const next = new Map<string, Seen>();
    const unknown = await database.read((q) => unknownUse(q, now()));
    for (let after = ""; ;) {
      const page = await database.read((q) => interactivePage(q, after, PAGE));
      const told = await live.lastAccesses(page.map(({ id }) => id));
      await judge(page, told, next, unknown);
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      after = last.id;
    }
    seen = next;
  }

  async function judge(
    page: readonly Idle[],
    told: readonly (number | null)[],
    next: Map<string, Seen>,
    unknown: ReadonlySet<string>,
  ): Promise<void> {
    const used: Use[] = [];
    const idle: string[] = [];
    for (const [at, { id, workerId, usedAt, lastAccess: noted }] of page.entries()) {
      const lastAccess = told[at] ?? null;
      const before = seen.get(id);
      const isSame = before !== undefined && before.lastAccess === lastAccess;
      const entry = isSame ? before : { lastAccess, since: steady() };
      next.set(id, entry);
      if (isUse(before, lastAccess, noted)) {
        if (now() - usedAt > exactness || before === undefined) used.push({ id, lastAccess });
      } else if (!unknown.has(workerId) && isIdle(usedAt, entry)) idle.push(id);
    }
    if (used.length > 0) await database.transaction({ ...ITSELF, now }, (tx) => store.noteUses(tx, used));
    if (idle.length > 0) await collect(idle);
  }

  /** Whether what Redis says means that the circuit may have been in use since it was noted, or last looked at. */
  function isUse(before: Seen | undefined, lastAccess: number | null, noted: number | null): boolean {
    // Missing is unknown: its time begins when that is first known, and so after every loss.
    if (lastAccess === null) return before === undefined || before.lastAccess !== null;
    return lastAccess !== (before === undefined ? noted : before.lastAccess);
  }

  function isIdle(usedAt: number, { since }: Seen): boolean {
    return isOver(Math.max(usedAt, notBefore)) && steady() - since >= watch;
  }

  function isOver(since: number): boolean {
    return now() - since > timeout + exactness;
  }

  async function collect(ids: readonly string[]): Promise<void> {
    const { result: gone } = await commit(ITSELF, (tx) => {
      // Somebody may have asked for it since the page was read.
      const idle = ids.map((id) => getCircuit(tx, id)).filter((row) => row !== undefined && isOver(row.usedAt));
      for (const row of idle) if (row !== undefined) store.removeCircuit(tx, row, "collected");
      return idle.length;
    });
    collected += gone;
  }

  return {
    async pass() {
      try {
        await pass();
        isAway = false;
      } catch (error) {
        seen = new Map();
        // One line an outage.
        if (!isAway) log.warn({ reason: reason(error) }, "use of circuits is unknown; none is collected");
        isAway = true;
      }
    },
    forget(clockWasSet) {
      seen = new Map();
      if (clockWasSet) notBefore = now();
    },
    knows: () => !isAway,
    collected: () => collected,
  };
}
