/**
 * Publishes change records as events, in order and only after their commit. What a crash or an absent Redis
 * left unpublished is published at the next start or as soon as Redis is back; twice is harmless, never is not.
 */
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { reason } from "../../shared/failure.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { Later } from "../../shared/runtime/later.ts";
import { countUnpublished, notePublished, selectUnpublished, type RecordedChange } from "../store/changes.ts";
import type { Deps } from "../deps.ts";
import { ITSELF } from "../store/store.ts";

export interface Publisher {
  /** There may be something new. */
  wake(): void;
  /** Tells a circuit's worker of it once more, for a creation that was never acknowledged. */
  repeat(circuit: Circuit, authority: string, requestId: string | null): Promise<void>;
  /** Changes that have not reached Redis yet. */
  pending(): Promise<number>;
  /** Stops after what is being published and notes what was. */
  stop(): Promise<void>;
}

/** Changes that are read and sent together. */
const BATCH = 1000;
/** A round trip carries about so many routes: a megabyte is a thousand. */
const MAX_ROUTES = 20_000;
const RETRY_MS = 500;
/** Publications are noted together: each note alone would cost another synced commit. */
const NOTE_AFTER_MS = 50;

export function createPublisher({ database, bus, log, now }: Deps): Publisher {
  const { epoch } = database;
  let last = 0;
  let running: Promise<void> | null = null;
  let again = false;
  let away = false;
  let stopped = false;
  let retry: ReturnType<typeof setTimeout> | null = null;
  let unnoted: number[] = [];
  const notes = new Later({ work: note, isDue: () => unnoted.length > 0, afterMs: NOTE_AFTER_MS, retryMs: RETRY_MS });

  async function drain(): Promise<void> {
    while (!stopped) {
      again = false;
      const rows = await database.read((q) => selectUnpublished(q, last, BATCH));
      for (const some of slices(rows)) {
        await bus.publish(...toEvents(some, epoch));
        if (away) log.info("changes are published again");
        away = false;
        for (const { change } of some) unnoted.push(change.id);
        last = some.at(-1)?.change.id ?? last;
        notes.soon();
      }
      if (rows.length === 0 && !again) return;
    }
  }

  async function note(): Promise<boolean> {
    const ids = unnoted;
    unnoted = [];
    try {
      await database.transaction({ ...ITSELF, now }, (tx) => notePublished(tx, ids, tx.cause.now));
      return true;
    } catch (error) {
      // The disk may be full, or the database locked. Unnoted ones are published once more at the next start, which harms
      // nobody.
      unnoted = [...ids, ...unnoted];
      log.warn({ reason: reason(error) }, "cannot note published changes");
      return false;
    }
  }

  function wake(): void {
    again = true;
    if (running !== null || stopped) return;
    if (retry !== null) clearTimeout(retry);
    retry = null;
    running = drain()
      .catch((error: unknown) => {
        if (!stopped) retry = setTimeout(wake, RETRY_MS);
        // One line an outage: the connection's own lines say when Redis is back.
        if (!away) log.warn({ reason: reason(error) }, "cannot publish changes; trying again");
        away = true;
      })
      .finally(() => {
        running = null;
        if (again && retry === null) wake();
      });
  }

  return {
    wake,
    pending: () => database.read((q) => countUnpublished(q, last)),
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
      if (retry !== null) clearTimeout(retry);
      await running;
      await notes.stop();
    },
  };
}

// --- internal ---

/** In order, each slice small enough for one round trip. */
function slices(rows: readonly RecordedChange[]): RecordedChange[][] {
  const all: RecordedChange[][] = [];
  let routes = Infinity;
  for (const row of rows) {
    const more = row.change.circuit.route_info.length + 1;
    if (routes + more > MAX_ROUTES) {
      all.push([]);
      routes = 0;
    }
    routes += more;
    all.at(-1)?.push(row);
  }
  return all;
}

/**
 * Creations and removals that follow each other at a worker are one event; the original takes several circuits in one
 * too. Of different workers the order does not matter.
 */
function toEvents(rows: readonly RecordedChange[], epoch: string): AppProxyEvent[] {
  const groups: RecordedChange[][] = [];
  const open = new Map<string, RecordedChange[]>();
  for (const row of rows) {
    const group = open.get(row.authority);
    if (group !== undefined && joins(group.at(-1), row)) {
      group.push(row);
      continue;
    }
    const fresh = [row];
    groups.push(fresh);
    open.set(row.authority, fresh);
  }
  return groups.flatMap((group) => toEvent(group, epoch));
}

function joins(last: RecordedChange | undefined, next: RecordedChange): boolean {
  if (last === undefined || next.change.kind === "routes") return false;
  const { kind, requestId, revision } = last.change;
  return next.change.kind === kind && next.change.requestId === requestId && next.change.revision === revision + 1;
}

function toEvent(group: readonly RecordedChange[], epoch: string): AppProxyEvent[] {
  const [first, last] = [group[0], group.at(-1)];
  if (first === undefined || last === undefined) return [];
  const { authority, change } = first;
  const common = { source: "appproxy-coordinator" as const, requestId: change.requestId };
  const where = {
    target_worker_authority: authority,
    revision: last.change.revision,
    ...(group.length > 1 ? { first_revision: change.revision } : {}),
    epoch,
  };
  const circuits = group.map((row) => row.change.circuit);
  switch (change.kind) {
    case "created":
      return [{ ...common, name: "appproxy_circuit_created_event", payload: { ...where, circuits } }];
    case "removed":
    case "withdrawn":
      return [{ ...common, name: "appproxy_circuit_removed_event", payload: { ...where, circuits } }];
    case "routes":
      return [
        {
          ...common,
          name: "appproxy_circuit_route_updated_event",
          payload: { ...where, circuit: change.circuit, routes: change.circuit.route_info },
        },
      ];
  }
}
