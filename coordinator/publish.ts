/**
 * Publishes change records as events, in order and only after their commit. What a crash or an absent Redis
 * left unpublished is published at the next start or as soon as Redis is back; twice is harmless, never is not.
 */
import { and, asc, eq, gt, isNull, sql } from "drizzle-orm";
import type { AppProxyEvent } from "../shared/bus/events.ts";
import { reason } from "../shared/failure.ts";
import type { Circuit } from "../shared/schema/circuit.ts";
import { prepared } from "./db/prepared.ts";
import { changes, workers } from "./db/schema.ts";
import type { Deps } from "./deps.ts";

export interface Publisher {
  /** There may be something new. */
  kick(): void;
  /** Tells a circuit's worker of it once more, for a creation that was never acknowledged. */
  repeat(circuit: Circuit, authority: string, requestId: string | null): Promise<void>;
  /** Changes that have not reached Redis yet. */
  pending(): number;
  /** Stops after what is being published and notes what was. */
  stop(): Promise<void>;
}

const BATCH = 200;
const RETRY_MS = 500;
/** Publications are noted together: each note alone would cost another synced commit. */
const NOTE_AFTER_MS = 50;

export function createPublisher({ database, bus, log, now }: Deps): Publisher {
  const { db, epoch } = database;
  let last = 0;
  let running: Promise<void> | null = null;
  let again = false;
  let away = false;
  let stopped = false;
  let wake: ReturnType<typeof setTimeout> | null = null;
  let unnoted: number[] = [];
  let noteTimer: ReturnType<typeof setTimeout> | null = null;

  async function drain(): Promise<void> {
    while (!stopped) {
      again = false;
      const rows = selectUnpublished(db).all({ last });
      for (const { change, authority } of rows) {
        await bus.publish(toEvent(change, authority, epoch));
        if (away) log.info("changes are published again");
        away = false;
        last = change.id;
        unnoted.push(change.id);
        noteTimer ??= setTimeout(note, NOTE_AFTER_MS);
      }
      if (rows.length === 0 && !again) return;
    }
  }

  function note(): void {
    if (noteTimer !== null) clearTimeout(noteTimer);
    noteTimer = null;
    const ids = unnoted;
    unnoted = [];
    if (ids.length === 0) return;
    try {
      updatePublished(db).run({ now: now(), ids: JSON.stringify(ids) });
    } catch (error) {
      // Noted with the next ones; unnoted ones are published once more at the next start, which harms nobody.
      unnoted = [...ids, ...unnoted];
      log.warn({ reason: reason(error) }, "cannot note published changes");
    }
  }

  function kick(): void {
    again = true;
    if (running !== null || stopped) return;
    if (wake !== null) clearTimeout(wake);
    wake = null;
    running = drain()
      .catch((error: unknown) => {
        if (!stopped) wake = setTimeout(kick, RETRY_MS);
        // One line an outage: the connection's own lines say when Redis is back.
        if (!away) log.warn({ reason: reason(error) }, "cannot publish changes; trying until it works");
        away = true;
      })
      .finally(() => {
        running = null;
        if (again && wake === null) kick();
      });
  }

  function pending(): number {
    return (
      db
        .select({ count: sql<number>`count(*)` })
        .from(changes)
        .where(and(isNull(changes.publishedAt), gt(changes.id, last)))
        .get()?.count ?? 0
    );
  }

  return {
    kick,
    pending,
    async repeat(circuit, authority, requestId) {
      const payload = {
        target_worker_authority: authority,
        circuits: [circuit],
        epoch,
        ...(circuit.revision === undefined ? {} : { revision: circuit.revision }),
      };
      await bus.publish({ name: "appproxy_circuit_created_event", source: "appproxy-coordinator", payload, requestId });
    },
    async stop() {
      stopped = true;
      if (wake !== null) clearTimeout(wake);
      await running;
      note();
    },
  };
}

// --- internal ---

const selectUnpublished = prepared((db) =>
  db
    .select({ change: changes, authority: workers.authority })
    .from(changes)
    .innerJoin(workers, eq(workers.id, changes.workerId))
    .where(and(isNull(changes.publishedAt), gt(changes.id, sql.placeholder("last"))))
    .orderBy(asc(changes.id))
    .limit(BATCH)
    .prepare(),
);
const updatePublished = prepared((db) =>
  db
    .update(changes)
    .set({ publishedAt: sql`${sql.placeholder("now")}` })
    .where(sql`${changes.id} IN (SELECT value FROM json_each(${sql.placeholder("ids")}))`)
    .prepare(),
);

type Change = typeof changes.$inferSelect;

function toEvent(change: Change, authority: string, epoch: string): AppProxyEvent {
  const common = { source: "appproxy-coordinator" as const, requestId: change.requestId };
  const where = { target_worker_authority: authority, revision: change.revision, epoch };
  switch (change.kind) {
    case "created":
      return { ...common, name: "appproxy_circuit_created_event", payload: { ...where, circuits: [change.circuit] } };
    case "removed":
      return { ...common, name: "appproxy_circuit_removed_event", payload: { ...where, circuits: [change.circuit] } };
    case "routes":
      return {
        ...common,
        name: "appproxy_circuit_route_updated_event",
        payload: { ...where, circuit: change.circuit, routes: change.circuit.route_info },
      };
  }
}
