/**
 * The worker's copy of its circuits: applies events in order, acknowledges, and fetches what it lacks whenever events may
 * have been missed. What is served goes on being served meanwhile. sync.ts owns the registration around it.
 */
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { reason } from "../../shared/failure.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import { createAcknowledger, type AcknowledgerDeps } from "./acknowledge.ts";
import type { Known } from "./coordinator-client.ts";
import { createServed } from "./apply.ts";
import type { Table } from "../circuits/table.ts";

export interface ReplicaDeps extends AcknowledgerDeps {
  /** Fetches what has changed since what is known, or everything; rejects while the coordinator is away. */
  fetch: (known: Known | null) => Promise<WorkerCircuits>;
  /** A fetch has failed: try again soon. */
  failed: () => void;
  table: Table;
  /** Waits between fetches; a test's model has no time for that. */
  sleep?: (ms: number) => Promise<void>;
}

export interface ReplicaState {
  /** False while events may have been missed. */
  known: boolean;
  /** Null before the first fetch, and with the original's coordinator. */
  revision: number | null;
  epoch: string | null;
  /** Of the table; null when it can't be compared with the coordinator's. */
  digest: number | null;
  /** When everything was last fetched; performance.now() milliseconds. */
  fetchedAt: number;
  /** When it was last known to be as the coordinator's; performance.now() milliseconds. */
  syncedAt: number;
}

/** What workers say; their own comes back to them. */
function isWorkers({ name }: AppProxyEvent): boolean {
  return name === "appproxy_worker_circuit_added_event" || name === "appproxy_worker_circuit_refused_event";
}

export interface Replica {
  receive(event: AppProxyEvent): void;
  /** Events may have been missed; a fetch that is under way may be too early to have them. */
  lose(): void;
  /** The table was found to differ though no event was missed: everything is fetched anew. */
  distrust(): void;
  /** Fetches what is lacking now. Rejects when that fails. */
  refresh(): Promise<void>;
  /** Finds out whether something was missed without a sign of it: the last event before a silence. Rejects when it can't. */
  look(): Promise<void>;
  /** Takes circuits that were saved before; what has changed since is fetched when that can be done. */
  restore(saved: WorkerCircuits): Promise<void>;
  /** Opens ports that could not be opened before, and acknowledges their circuits. */
  retryPorts(): Promise<void>;
  state(): ReplicaState;
  /** Resolves when circuits are known for the first time. */
  ready: Promise<void>;
  /** Another node serves from now on: nothing is acknowledged any more, and removals count however they come. */
  leave(): void;
  /** Hears nothing any more; resolves when what was heard is done. */
  stop(): Promise<void>;
}

/** An event that waits for a fetch. */
interface Held {
  event: AppProxyEvent;
  /** How many fetches had begun when it was heard: one that was asked for later must have what it tells. */
  begun: number;
}

/** Events that wait while the state is being fetched; more than this and it is fetched once more. */
const MAX_HELD = 10_000;
/** Between fetches, growing: nobody can make a worker fetch without a pause. Milliseconds. */
const PAUSE_MS = { first: 100, most: 2000 };

export function createReplica(deps: ReplicaDeps): Replica {
  const { authority, fetch, failed, table, frontends, log, sleep = Bun.sleep } = deps;
  const acknowledger = createAcknowledger(deps);
  const served = createServed(table, frontends);
  let revision: number | null = null;
  let epoch: string | undefined;
  let known = false;
  /** The coordinator tells digests, and of all circuits that are here. */
  let comparable = false;
  /** Changes alone would not mend the table. */
  let suspect = true;
  let tellsChanges = true;
  /** How often events may have been missed: a fetch counts only when none were since it was asked for. */
  let losses = 0;
  let begun = 0;
  let fetchedAt = -Infinity;
  let syncedAt = -Infinity;
  let stopped = false;
  let leaving = false;
  let held: Held[] = [];
  /** All changes of the table follow each other. */
  let line: Promise<void> = Promise.resolve();
  let fetching: Promise<void> | null = null;
  const ready = Promise.withResolvers<void>();

  function receive(event: AppProxyEvent): void {
    if (stopped || event.payload.target_worker_authority !== authority) return;
    if (isWorkers(event)) return;
    const heard = { event, begun };
    if (!known) {
      // Perhaps nothing can be fetched any more.
      if (leaving && event.name === "appproxy_circuit_removed_event") remove(event.payload.circuits);
      return hold(heard);
    }
    inLine(() => live(heard)).catch((error: unknown) => {
      log.error({ reason: reason(error) }, "cannot apply a change; fetching everything");
      distrust();
    });
  }

  function remove(circuits: readonly Circuit[]): void {
    void inLine(() => served.drop(circuits.map(({ id }) => id)));
  }

  function hold(heard: Held): void {
    if (held.length < MAX_HELD) held.push(heard);
  }

  function inLine(work: () => Promise<void>): Promise<void> {
    const done = line.then(work);
    line = done.catch(() => undefined);
    return done;
  }

  function lose(): void {
    losses++;
    known = false;
    refresh().catch((error: unknown) => log.debug({ reason: reason(error) }, "cannot fetch circuits yet"));
  }

  function distrust(): void {
    suspect = true;
    lose();
  }

  /** An event in its turn. */
  async function live(heard: Held): Promise<void> {
    if (stopped) return;
    // Another event before it showed a gap.
    if (!known) return hold(heard);
    switch (place(heard.event)) {
      case "next":
        return apply(heard.event);
      case "old":
        if (acknowledgeAgain(heard.event)) return;
        // Of a circuit that was never heard of: perhaps the database was put back from a backup.
        return lose();
      case "elsewhere":
        log.info({ revision, event_revision: heard.event.payload.revision }, "events were missed; fetching circuits");
        hold({ event: heard.event, begun });
        return lose();
    }
  }

  /** Where an event stands to the table. Events of an older coordinator have no place: they are taken as they come. */
  function place({ payload }: AppProxyEvent): "next" | "old" | "elsewhere" {
    const { revision: theirs, first_revision: first = theirs, epoch: database } = payload;
    if (theirs === undefined || first === undefined || revision === null) return "next";
    if (database !== epoch || first > revision + 1) return "elsewhere";
    return theirs <= revision ? "old" : "next";
  }

  async function apply(event: AppProxyEvent): Promise<void> {
    if (revision !== null && event.payload.revision !== undefined) revision = event.payload.revision;
    switch (event.name) {
      case "appproxy_circuit_created_event":
        return add(event.payload.circuits, event.requestId);
      case "appproxy_circuit_removed_event":
        return served.drop(event.payload.circuits.map(({ id }) => id));
      case "appproxy_circuit_route_updated_event":
        return add([{ ...event.payload.circuit, route_info: event.payload.routes }], event.requestId);
      case "appproxy_worker_circuit_added_event":
      case "appproxy_worker_circuit_refused_event":
      case "appproxy_circuit_probe_event":
        return;
    }
  }

  /** A creation that is told again is acknowledged again. False when it tells of a circuit that is not known. */
  function acknowledgeAgain(event: AppProxyEvent): boolean {
    if (event.name !== "appproxy_circuit_created_event") return true;
    const { circuits } = event.payload;
    const mine = circuits.map(({ id }) => table.byId(id)?.circuit).filter((circuit) => circuit !== undefined);
    acknowledger.send(
      mine.filter((circuit) => frontends.serves(circuit)),
      event.requestId,
    );
    acknowledger.refuse(mine, event.requestId);
    return mine.length === circuits.length;
  }

  async function add(circuits: readonly Circuit[], requestId: string | null): Promise<void> {
    acknowledger.send(await served.add(circuits), requestId);
    acknowledger.refuse(circuits, requestId);
  }

  /** What a fetch can build on. */
  function position(): Known | null {
    return suspect || revision === null || epoch === undefined ? null : { since: revision, epoch };
  }

  function refresh(): Promise<void> {
    // In a later turn, so that `fetching` is set before fetchAll can end.
    return (fetching ??= Promise.resolve().then(fetchAll));
  }

  async function fetchAll(): Promise<void> {
    try {
      await sleep(Math.max(0, fetchedAt + PAUSE_MS.first - performance.now()));
      for (let pause = PAUSE_MS.first; !stopped; pause = Math.min(pause * 2, PAUSE_MS.most)) {
        // From here on events are held: the answer may or may not have what they tell.
        known = false;
        begun++;
        const seen = losses;
        const answer = await fetch(position());
        await inLine(() => take(answer, seen));
        if (known) break;
        await sleep(pause);
      }
    } catch (error) {
      known = false;
      // Events wait until the next fetch, so that one must come soon, whoever asked for this one.
      failed();
      throw error;
    } finally {
      fetching = null;
    }
    if (!known) return;
    log.info({ circuits: table.size, revision }, "circuits are known");
    ready.resolve();
  }

  /** Takes what a fetch has brought, and then what was heard meanwhile. */
  async function take(answer: WorkerCircuits, seen: number): Promise<void> {
    if (stopped) return;
    await (answer.since === undefined ? applyAll(answer) : applyChanges(answer));
    if (suspect) return;
    fetchedAt = performance.now();
    if (held.length >= MAX_HELD) losses++;
    known = losses === seen;
    if (known) syncedAt = fetchedAt;
    const waiting = held;
    held = [];
    for (const heard of waiting) await replay(heard);
  }

  async function applyAll(snapshot: WorkerCircuits): Promise<void> {
    const wanted = new Set(snapshot.circuits.map((circuit) => circuit.id));
    await served.drop(table.ids().filter((id) => !wanted.has(id)));
    // In another database the same revision of a circuit may be another state.
    await add(snapshot.epoch === epoch ? snapshot.circuits.filter(served.isNews) : snapshot.circuits, null);
    revision = snapshot.revision ?? null;
    epoch = snapshot.epoch;
    suspect = false;
    tellsChanges = true;
    comparable = revision !== null && snapshot.digest === table.digest;
    if (revision !== null && snapshot.digest !== undefined && !comparable)
      log.error({ revision, circuits: table.size }, "the coordinator's digest is not that of its circuits");
  }

  /** Distrusts the table when the changes do not lead to what the coordinator has. */
  async function applyChanges(changes: WorkerCircuits): Promise<void> {
    const { since = Infinity, revision: theirs = 0, removed = [], circuits } = changes;
    if (revision === null || revision < since || changes.epoch !== epoch) return void (suspect = true);
    // Events may have been faster.
    if (revision > theirs) return void (tellsChanges = true);
    if (revision < theirs) {
      await served.drop(removed);
      await add(circuits.filter(served.isNews), null);
      revision = theirs;
    }
    tellsChanges = true;
    compare(changes);
    if (!differs(changes)) return;
    log.warn({ revision }, "the circuits differ from the coordinator's; fetching everything");
    suspect = true;
  }

  /** What could not be compared, as a circuit that can't be read, may be gone, and what is equal can be compared. */
  function compare({ revision: theirs, digest }: WorkerCircuits): void {
    if (theirs === revision && digest === table.digest) comparable = true;
  }

  function differs({ revision: theirs, digest }: WorkerCircuits): boolean {
    return comparable && theirs === revision && digest !== undefined && digest !== table.digest;
  }

  /** An event that waited for the fetch of which the answer has now been applied. */
  async function replay(heard: Held): Promise<void> {
    const where = place(heard.event);
    if (where === "next") return apply(heard.event);
    if (where === "old") return void acknowledgeAgain(heard.event);
    // Heard before this answer was asked for, and not in it: it is of another database, or a replay of one.
    if (heard.begun < begun)
      return log.info(
        { revision, event_revision: heard.event.payload.revision },
        "event dropped: it does not belong to the coordinator's database",
      );
    losses++;
    known = false;
    hold(heard);
  }

  async function look(): Promise<void> {
    const mine = position();
    if (!known || !tellsChanges || mine === null) return;
    const answer = await fetch(mine);
    await inLine(async () => {
      // What was found out meanwhile is newer.
      if (stopped || !known) return;
      if (answer.since === undefined) {
        // A version that does not know `since`, or changes that are not recorded any more. What was asked for counts: what
        // is here by now may have come with another fetch.
        tellsChanges = answer.epoch !== mine.epoch || answer.revision !== mine.since;
        return tellsChanges ? lose() : undefined;
      }
      const before = revision;
      await applyChanges(answer);
      if (suspect) return lose();
      syncedAt = performance.now();
      if (revision !== before) log.info({ revision, was: before }, "changes were fetched of which no event came");
    });
  }

  return {
    receive,
    lose,
    distrust,
    refresh,
    look,
    restore: (saved) =>
      inLine(async () => {
        // What the coordinator has said meanwhile is newer.
        if (fetchedAt > -Infinity || stopped) return;
        await applyAll(saved);
        // Of circuits that could not be read there is no digest: changes alone would not bring them.
        suspect = !comparable;
        ready.resolve();
      }),
    async retryPorts() {
      acknowledger.send(await frontends.retry(), null);
    },
    state: () => ({
      known,
      revision,
      epoch: epoch ?? null,
      digest: comparable ? table.digest : null,
      fetchedAt,
      syncedAt,
    }),
    ready: ready.promise,
    leave() {
      leaving = true;
      acknowledger.stop();
    },
    stop() {
      stopped = true;
      acknowledger.stop();
      return line;
    },
  };
}
