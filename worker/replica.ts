/**
 * The worker's copy of its circuits: applies events in order, acknowledges, and fetches a snapshot whenever events may
 * have been missed. What is served goes on being served meanwhile. sync.ts owns the registration around it.
 */
import type { Bus } from "../shared/bus/bus.ts";
import type { AppProxyEvent } from "../shared/bus/events.ts";
import { reason } from "../shared/failure.ts";
import type { Log } from "../shared/log.ts";
import type { Circuit } from "../shared/schema/circuit.ts";
import type { WorkerCircuits } from "../shared/schema/worker.ts";
import type { Frontends } from "./frontends.ts";
import type { Table } from "./table.ts";

export interface ReplicaDeps {
  authority: string;
  /** Fetches the snapshot; rejects while the coordinator is away. */
  fetch: () => Promise<WorkerCircuits>;
  /** A fetch has failed: try again soon. */
  failed: () => void;
  bus: Bus;
  table: Table;
  frontends: Frontends;
  log: Log;
}

export interface Replica {
  receive(event: AppProxyEvent): void;
  /** Events may have been missed; a fetch that is under way may be too early to have them. */
  lose(): void;
  /** Fetches everything now. Rejects when that fails. */
  refresh(): Promise<void>;
  /** Opens ports that could not be opened before, and acknowledges their circuits. */
  retryPorts(): Promise<void>;
  state(): { known: boolean; revision: number | null; fetchedAt: number };
  /** Resolves when circuits are known for the first time. */
  ready: Promise<void>;
  /** Hears nothing any more; resolves when what was heard is done. */
  stop(): Promise<void>;
}

/** An event that waits for a snapshot. */
interface Held {
  event: AppProxyEvent;
  /** How many fetches had begun when it was heard: a snapshot asked for later must have what it tells. */
  begun: number;
}

/** Events that wait while the state is being fetched; more than this and it is fetched once more. */
const MAX_HELD = 10_000;
/** Circuits in one acknowledgement, so that a snapshot of thousands is no message of megabytes. */
const ACK_BATCH = 100;
/** Together about as long as a coordinator waits. */
const ACK_ATTEMPTS = 60;
const ACK_RETRY_MS = 250;
/** Between fetches, growing: nobody can make a worker fetch without a pause. Milliseconds. */
const PAUSE_MS = { first: 100, most: 2000 };

export function createReplica({ authority, fetch, failed, bus, table, frontends, log }: ReplicaDeps): Replica {
  let revision: number | null = null;
  let epoch: string | undefined;
  let known = false;
  /** How often events may have been missed: a snapshot counts only when none were since it was asked for. */
  let losses = 0;
  let begun = 0;
  let fetchedAt = -Infinity;
  let stopped = false;
  let held: Held[] = [];
  /** All changes of the table follow each other. */
  let line: Promise<void> = Promise.resolve();
  let fetching: Promise<void> | null = null;
  const ready = Promise.withResolvers<void>();

  function receive(event: AppProxyEvent): void {
    if (stopped || event.payload.target_worker_authority !== authority) return;
    if (event.name === "appproxy_worker_circuit_added_event") return;
    const heard = { event, begun };
    if (!known) return hold(heard);
    inLine(() => live(heard)).catch((error: unknown) => {
      log.error({ reason: reason(error) }, "cannot apply a change; fetching everything");
      lose();
    });
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
        await Promise.all(event.payload.circuits.map(({ id }) => drop(id)));
        return;
      case "appproxy_circuit_route_updated_event":
        return add([{ ...event.payload.circuit, route_info: event.payload.routes }], event.requestId);
      case "appproxy_worker_circuit_added_event":
        return;
    }
  }

  /** A creation that is told again is acknowledged again. False when it tells of a circuit that is not known. */
  function acknowledgeAgain(event: AppProxyEvent): boolean {
    if (event.name !== "appproxy_circuit_created_event") return true;
    const { circuits } = event.payload;
    const mine = circuits.map(({ id }) => table.byId(id)?.circuit).filter((circuit) => circuit !== undefined);
    acknowledge(
      mine.filter((circuit) => frontends.serves(circuit)),
      event.requestId,
    );
    return mine.length === circuits.length;
  }

  async function add(circuits: readonly Circuit[], requestId: string | null): Promise<void> {
    const served = await Promise.all(circuits.map(addOne));
    acknowledge(
      circuits.filter((_, at) => served[at]),
      requestId,
    );
  }

  async function addOne(circuit: Circuit): Promise<boolean> {
    const before = table.byId(circuit.id)?.circuit;
    const replaced = table.put(circuit);
    if (replaced !== null) await frontends.close(replaced);
    if (before !== undefined && before.port !== circuit.port) await frontends.close(before);
    return frontends.open(circuit);
  }

  async function drop(id: string): Promise<void> {
    const removed = table.remove(id);
    if (removed !== null) await frontends.close(removed);
  }

  function acknowledge(circuits: Circuit[], requestId: string | null, attempt = 1): void {
    for (let at = 0; at < circuits.length; at += ACK_BATCH) {
      const batch = circuits.slice(at, at + ACK_BATCH);
      const payload = { target_worker_authority: authority, circuits: batch };
      bus
        .publish({ name: "appproxy_worker_circuit_added_event", source: "appproxy-worker", payload, requestId })
        .catch((error: unknown) => {
          log.debug({ reason: reason(error), attempt }, "cannot acknowledge circuits");
          if (attempt >= ACK_ATTEMPTS || stopped) return;
          // Somebody waits for it: after an outage events may be heard before they can be sent.
          const again = () =>
            acknowledge(
              batch.filter((circuit) => frontends.serves(circuit)),
              requestId,
              attempt + 1,
            );
          setTimeout(again, ACK_RETRY_MS).unref();
        });
    }
  }

  function refresh(): Promise<void> {
    // In a later turn, so that `fetching` is set before fetchAll can end.
    return (fetching ??= Promise.resolve().then(fetchAll));
  }

  async function fetchAll(): Promise<void> {
    try {
      await Bun.sleep(Math.max(0, fetchedAt + PAUSE_MS.first - performance.now()));
      for (let pause = PAUSE_MS.first; !stopped; pause = Math.min(pause * 2, PAUSE_MS.most)) {
        // From here on events are held: the snapshot may or may not hold what they tell.
        known = false;
        begun++;
        const seen = losses;
        const snapshot = await fetch();
        await inLine(() => applySnapshot(snapshot, seen));
        if (known) break;
        await Bun.sleep(pause);
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

  async function applySnapshot(snapshot: WorkerCircuits, seen: number): Promise<void> {
    if (stopped) return;
    const wanted = new Set(snapshot.circuits.map((circuit) => circuit.id));
    const gone = table.all().filter(({ circuit }) => !wanted.has(circuit.id));
    await Promise.all(gone.map(({ circuit }) => drop(circuit.id)));
    await add(snapshot.circuits.filter(isNews), null);
    revision = snapshot.revision ?? null;
    epoch = snapshot.epoch;
    fetchedAt = performance.now();
    if (held.length >= MAX_HELD) losses++;
    known = losses === seen;
    const waiting = held;
    held = [];
    for (const heard of waiting) await replay(heard);
  }

  /** An event that waited for the snapshot which has now been applied. */
  async function replay(heard: Held): Promise<void> {
    const where = place(heard.event);
    if (where === "next") return apply(heard.event);
    if (where === "old") return void acknowledgeAgain(heard.event);
    // Heard before this snapshot was asked for, and not in it: it is of another database, or a replay of one.
    if (heard.begun < begun)
      return log.info(
        { revision, event_revision: heard.event.payload.revision },
        "event dropped: it does not belong to the coordinator's database",
      );
    losses++;
    known = false;
    hold(heard);
  }

  function isNews(circuit: Circuit): boolean {
    const mine = table.byId(circuit.id)?.circuit;
    if (mine === undefined || mine.revision !== circuit.revision || mine.revision === undefined) return true;
    return !frontends.serves(mine);
  }

  return {
    receive,
    lose,
    refresh,
    async retryPorts() {
      acknowledge(await frontends.retry(), null);
    },
    state: () => ({ known, revision, fetchedAt }),
    ready: ready.promise,
    stop() {
      stopped = true;
      return line;
    },
  };
}
