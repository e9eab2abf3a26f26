/**
 * Keeps the table equal to the coordinator's database: registers, fetches, applies events in order, acknowledges.
 * Whenever events may have been missed the whole state is fetched; what is served goes on being served meanwhile.
 */
import type { Bus } from "../shared/bus/bus.ts";
import type { AppProxyEvent } from "../shared/bus/events.ts";
import { Failure, reason } from "../shared/failure.ts";
import type { Log } from "../shared/log.ts";
import type { Circuit } from "../shared/schema/circuit.ts";
import type { WorkerCircuits, WorkerRegistration } from "../shared/schema/worker.ts";
import type { CoordinatorClient, Registered } from "./coordinator-client.ts";
import type { Frontends } from "./frontends.ts";
import type { Table } from "./table.ts";

export interface SyncDeps {
  registration: WorkerRegistration;
  nodeId: string;
  coordinator: CoordinatorClient;
  bus: Bus;
  table: Table;
  frontends: Frontends;
  log: Log;
  /** Milliseconds between heartbeats. */
  period: number;
}

export interface SyncState {
  workerId: string | null;
  /** False while events may have been missed. */
  known: boolean;
  revision: number | null;
  /** True when the last call to the coordinator succeeded. */
  coordinator: boolean;
}

export interface Sync {
  /** Starts; `ready` resolves when the worker has registered and fetched its circuits, however long that takes. */
  start(): void;
  ready: Promise<void>;
  state(): SyncState;
  /** Fetches everything now: something was asked for that should be known. */
  refresh(): Promise<void>;
  /** Stops and deregisters this node. */
  stop(): Promise<void>;
}

/** Events that wait while the state is being fetched; more than this and it is fetched once more. */
const MAX_HELD = 10_000;
const RETRY_MS = 1000;
/** Circuits in one acknowledgement, so that a snapshot of thousands is no message of megabytes. */
const ACK_BATCH = 100;
/** An older coordinator's events carry no revision, so losses go unseen: fetch every so often. */
const BLIND_RESYNC_MS = 30_000;

export function createSync(deps: SyncDeps): Sync {
  const { coordinator, bus, table, frontends, log, registration } = deps;
  let worker: Registered | null = null;
  let revision: number | null = null;
  let epoch: string | undefined;
  let known = false;
  /** How often events may have been missed: a snapshot counts only when none were since it was asked for. */
  let losses = 0;
  let reachable = false;
  let stopped = false;
  let complaint: string | null = null;
  let held: AppProxyEvent[] = [];
  /** All changes of the table follow each other. */
  let line: Promise<void> = Promise.resolve();
  let fetching: Promise<void> | null = null;
  let fetchedAt = 0;
  const ready = Promise.withResolvers<void>();
  let beatTimer: ReturnType<typeof setTimeout> | null = null;

  function onEvent(event: AppProxyEvent): void {
    if (stopped || event.payload.target_worker_authority !== registration.authority) return;
    if (event.name === "appproxy_worker_circuit_added_event") return;
    if (!known) {
      if (held.length < MAX_HELD) held.push(event);
      return;
    }
    enqueue(() => apply(event));
  }

  function enqueue(work: () => Promise<void>): void {
    line = line.then(work).catch((error: unknown) => {
      log.error({ reason: reason(error) }, "cannot apply a change; fetching everything");
      lose();
    });
  }

  /** Events may have been missed; a fetch that is under way may be too early to have them. */
  function lose(): void {
    losses++;
    known = false;
    refresh().catch((error: unknown) => log.debug({ reason: reason(error) }, "cannot fetch circuits yet"));
  }

  async function apply(event: AppProxyEvent): Promise<void> {
    if (!inOrder(event)) return;
    switch (event.name) {
      case "appproxy_circuit_created_event":
        return add(event.payload.circuits, event.requestId);
      case "appproxy_circuit_removed_event":
        await Promise.all(event.payload.circuits.map(({ id }) => drop(id)));
        return;
      case "appproxy_circuit_route_updated_event":
        await add([{ ...event.payload.circuit, route_info: event.payload.routes }], event.requestId);
        return;
      case "appproxy_worker_circuit_added_event":
        return;
    }
  }

  /** Whether the event is the next one. An older one changes nothing, but a repeated creation is acknowledged again. */
  function inOrder(event: AppProxyEvent): boolean {
    const { revision: next, epoch: theirs } = event.payload;
    if (next === undefined || revision === null) return true;
    if (theirs === epoch && next === revision + 1) {
      revision = next;
      return true;
    }
    if (theirs === epoch && next <= revision) return ignoreOld(event);
    log.info({ revision, event_revision: next }, "events were missed; fetching circuits");
    lose();
    held.push(event);
    return false;
  }

  /** Changes nothing. A repeated creation is acknowledged again; one that was never heard of means a database put back. */
  function ignoreOld(event: AppProxyEvent): false {
    if (event.name !== "appproxy_circuit_created_event") return false;
    const { circuits } = event.payload;
    acknowledge(
      circuits.filter(({ id }) => table.byId(id)),
      event.requestId,
    );
    if (circuits.some(({ id }) => table.byId(id) === undefined)) lose();
    return false;
  }

  async function add(circuits: readonly Circuit[], requestId: string | null): Promise<void> {
    const served = await Promise.all(
      circuits.map(async (circuit) => {
        const replaced = table.put(circuit);
        if (replaced !== null) await frontends.close(replaced);
        return frontends.open(circuit);
      }),
    );
    acknowledge(
      circuits.filter((_, at) => served[at]),
      requestId,
    );
  }

  async function drop(id: string): Promise<void> {
    const removed = table.remove(id);
    if (removed !== null) await frontends.close(removed);
  }

  function acknowledge(circuits: Circuit[], requestId: string | null): void {
    for (let at = 0; at < circuits.length; at += ACK_BATCH) {
      const payload = { target_worker_authority: registration.authority, circuits: circuits.slice(at, at + ACK_BATCH) };
      bus
        .publish({ name: "appproxy_worker_circuit_added_event", source: "appproxy-worker", payload, requestId })
        .catch((error: unknown) =>
          log.debug({ reason: reason(error) }, "cannot acknowledge circuits; the coordinator asks again"),
        );
    }
  }

  function refresh(): Promise<void> {
    return (fetching ??= fetchAll().finally(() => (fetching = null)));
  }

  async function fetchAll(): Promise<void> {
    const id = worker?.id;
    if (id === undefined) throw new Failure("service-unavailable", "not registered yet");
    // From here on events are held: the snapshot may or may not hold what they tell.
    known = false;
    while (!known && !stopped) {
      const seen = losses;
      const snapshot = await call(() => coordinator.circuits(id));
      const done = line.then(() => applySnapshot(snapshot, seen));
      line = done.catch(() => undefined);
      await done;
    }
    log.info({ circuits: table.size, revision }, "circuits are known");
    ready.resolve();
  }

  async function applySnapshot(snapshot: WorkerCircuits, seen: number): Promise<void> {
    const wanted = new Set(snapshot.circuits.map((circuit) => circuit.id));
    await Promise.all(
      table
        .all()
        .filter(({ circuit }) => !wanted.has(circuit.id))
        .map(({ circuit }) => drop(circuit.id)),
    );
    await add(snapshot.circuits.filter(isNews), null);
    revision = snapshot.revision ?? null;
    epoch = snapshot.epoch;
    fetchedAt = performance.now();
    if (held.length >= MAX_HELD) losses++;
    const events = held;
    held = [];
    known = losses === seen;
    for (const event of events) await apply(event);
  }

  function isNews(circuit: Circuit): boolean {
    const mine = table.byId(circuit.id)?.circuit;
    return mine === undefined || mine.revision !== circuit.revision || mine.revision === undefined;
  }

  async function call<T>(work: () => Promise<T>): Promise<T> {
    try {
      const value = await work();
      if (!reachable) log.info("coordinator is reachable");
      reachable = true;
      return value;
    } catch (error) {
      reachable = error instanceof Failure && error.kind === "object-not-found";
      throw error;
    }
  }

  async function register(): Promise<void> {
    const answer = await call(() => coordinator.register({ ...registration, node_id: deps.nodeId }));
    worker = answer;
    log.info({ worker: registration.authority, worker_id: answer.id }, "registered");
  }

  async function beat(): Promise<void> {
    if (worker === null) await register();
    else await heartbeat(worker.id);
    const blind = revision === null && performance.now() - fetchedAt > BLIND_RESYNC_MS;
    if (!known || blind) await refresh();
    acknowledge(await frontends.retry(), null);
  }

  async function heartbeat(id: string): Promise<void> {
    try {
      const answer = await call(() => coordinator.heartbeat(id, { node_id: deps.nodeId, revision }));
      // An event that never came shows here; one that is on its way costs a needless fetch at worst.
      const theirs = answer.revision ?? revision;
      // Fewer than ours: the database was put back from a backup.
      if (revision !== null && theirs !== null && (theirs > revision + held.length || theirs < revision)) known = false;
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== "object-not-found") throw error;
      log.info("the coordinator does not know this worker; registering again");
      await register();
      known = false;
    }
  }

  /** One line a kind of trouble, not one a second. */
  function complain(error: unknown): void {
    const why = reason(error);
    if (why === complaint) return;
    complaint = why;
    log.warn({ reason: why }, "no help from the coordinator; going on with what is known");
  }

  async function beatForever(): Promise<void> {
    let wait = deps.period;
    try {
      await beat();
      complaint = null;
    } catch (error) {
      wait = Math.min(wait, RETRY_MS);
      complain(error);
    }
    if (!stopped) beatTimer = setTimeout(() => void beatForever(), wait);
  }

  return {
    state: () => ({ workerId: worker?.id ?? null, known, revision, coordinator: reachable }),
    refresh,
    ready: ready.promise,
    start() {
      // Events first, then the snapshot: what happens between the two is held. While Redis is away the worker serves
      // what it can fetch, and fetches again when events are heard.
      bus.subscribe({ event: onEvent, unknown: lose }).then(
        () => worker !== null && lose(),
        (error: unknown) => log.error({ reason: reason(error) }, "cannot listen to events"),
      );
      void beatForever();
    },
    async stop() {
      stopped = true;
      if (beatTimer !== null) clearTimeout(beatTimer);
      await line;
      if (worker === null) return;
      const { id } = worker;
      await coordinator.deregister(id, deps.nodeId).catch((error: unknown) => {
        log.warn({ reason: reason(error) }, "cannot deregister; the lease will run out");
      });
    },
  };
}
