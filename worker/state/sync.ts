/**
 * Keeps this node in step with the coordinator: puts together its contact, its heartbeats (heartbeat.ts), polls for what no
 * event has told, and the copy of the circuits (replica/), and hears the events for it.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { Failure, reason, type FailureKind } from "../../shared/failure.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import type { Table } from "../circuits/table.ts";
import { createContact, type ContactDeps } from "./contact.ts";
import { beat, type HeartbeatDeps } from "./heartbeat.ts";
import { createReplica, type ReplicaState } from "./replica/replica.ts";
import type { Revision } from "../../shared/protocol/revision.ts";
import { createRestore } from "./restore.ts";
import { createTicker } from "./ticker.ts";

export interface SyncDeps extends ContactDeps, Omit<HeartbeatDeps, "contact" | "replica"> {
  bus: Bus;
  table: Table;
  /** Kernels that the coordinator asks to look at. */
  probe: (circuits: readonly Circuit[]) => void;
  /** Circuits that were saved before; null when there are none. Asked for when the coordinator gives none at the start. */
  saved: () => WorkerCircuits | null;
  /** Milliseconds between heartbeats. */
  period: number;
}

export interface SyncState extends Omit<ReplicaState, "fetchedAt"> {
  workerId: string | null;
  /** True once the circuits were known; they are served from then on. */
  ready: boolean;
  /** Changes that the coordinator was last known to have made and that are not here; null when that is not known. */
  lag: number | null;
  /** True when the last call to the coordinator succeeded. */
  coordinator: boolean;
  /** The coordinator refuses this node: another living one of its authority says otherwise of their worker. */
  isContradicted: boolean;
}

export interface Sync {
  /** Starts; `ready` resolves when the worker has registered and fetched its circuits, however long that takes. */
  start(): void;
  ready: Promise<void>;
  state(): SyncState;
  /** Something was asked for that should be known: fetches everything, at most once a second. */
  refresh(): Promise<void>;
  /** The ports that can't be opened have changed: the coordinator is told at once. */
  portsChanged(): void;
  /** Tries again to open ports that could not be opened, and acknowledges their circuits. */
  retryPorts(): Promise<void>;
  /**
   * Deregisters this node, and sends no heartbeats any more. What it still carries goes on being looked after: changes of
   * circuits are heard until `stop`, and circuits that end, end here too.
   */
  leave(): Promise<void>;
  /** Leaves, and hears nothing any more. */
  stop(): Promise<void>;
}

const RETRY_MS = 1000;
const REFRESH_MS = 1000;
/**
 * How often it is asked whether an event was lost of which nothing else tells: the last one before a silence. Together
 * with the time that a fetch takes it is what lies between a lost event and its circuit, so it is well below 5 s.
 */
const POLL_MS = 2500;
/** After circuits ended here the coordinator is told soon how far this node is: somebody may wait for that. */
const POLL_SOON_MS = 20;
/** Ports become blocked and free together: a restart of a neighbour. */
const PORTS_SOON_MS = 50;
const CONFLICT =
  "another living worker has this authority, and says otherwise of where it is: the coordinator refuses this one. Give it a proxy_worker.authority of its own, or the same configuration, or stop the other one; trying again every second";
/** Events after which something may not be served any more. */
const ENDINGS: ReadonlySet<string> = new Set<AppProxyEvent["name"]>([
  "appproxy_circuit_removed_event",
  "appproxy_circuit_route_updated_event",
]);

export function createSync(deps: SyncDeps): Sync {
  const { bus, log, registration, period } = deps;
  const contact = createContact(deps);
  const replica = createReplica({
    ...deps,
    authority: registration.authority,
    fetch: fetchCircuits,
    failed: () => beats.within(RETRY_MS),
  });
  const restore = createRestore({ ...deps, replica });
  const failed = (error: unknown) => log.error({ reason: reason(error) }, "cannot open ports or serve saved circuits");
  const beats = createTicker({ period, work: beatOnce, failed });
  const polls = createTicker({ period: POLL_MS, work: poll, failed });
  /** When ports that could not be opened are tried again. */
  let portsAt = -Infinity;
  let isReady = false;
  let complaint: string | null = null;
  let left: Promise<void> | null = null;

  async function fetchCircuits(have: Revision | null): Promise<WorkerCircuits> {
    const answer = await contact.circuits(have);
    if (answer.revision !== have?.number) polls.within(POLL_SOON_MS);
    return answer;
  }

  async function beatOnce(): Promise<void> {
    try {
      await beat({ ...deps, contact, replica });
      complaint = null;
    } catch (error) {
      const kind = error instanceof Failure ? error.kind : null;
      complain(kind, reason(error));
      beats.within(Math.min(period, RETRY_MS));
      // The circuits that were saved are the other worker's.
      if (kind === "appproxy/worker-conflict") restore.stop();
      // One that refuses this worker is not away.
      else if (kind !== "appproxy/worker-registration-error") await restore.away();
      // A port that another program had comes free also while the coordinator is away.
      await replica.retryPorts();
    }
  }

  /** One line a kind of trouble, not one a second. */
  function complain(kind: FailureKind | null, why: string): void {
    if (why === complaint) return;
    complaint = why;
    if (kind === "appproxy/worker-conflict") return log.error({ reason: why, node: deps.nodeId }, CONFLICT);
    const isRefused = kind === "appproxy/worker-registration-error";
    const what = isRefused ? "coordinator refuses this worker" : "coordinator unreachable";
    log.warn({ reason: why }, `${what}; serving the last known circuits`);
  }

  async function poll(): Promise<void> {
    const was = contact.state().reachable;
    try {
      await replica.poll();
      // Somebody may wait for a port that is free again. Polls that come early, one an ending, do not try them each time.
      if (performance.now() >= portsAt) {
        portsAt = performance.now() + POLL_MS;
        await replica.retryPorts();
      }
      // It was away: this node's lease may have run out.
      if (!was && contact.state().reachable) beats.within(0);
    } catch (error) {
      // Unknown to it: the next beat registers again.
      if (contact.state().reachable) beats.within(0);
      log.debug({ reason: reason(error) }, "cannot ask for missed changes");
    }
  }

  function hear(event: AppProxyEvent): void {
    const isMine = event.payload.target_worker_authority === registration.authority;
    if (event.name === "appproxy_circuit_probe_event") {
      if (isMine && !contact.state().hasLeft) deps.probe(event.payload.circuits);
      return;
    }
    replica.receive(event);
    if (isMine && ENDINGS.has(event.name)) polls.within(POLL_SOON_MS);
  }

  function leave(): Promise<void> {
    contact.leave();
    restore.stop();
    replica.leave();
    return (left ??= Promise.all([beats.stop(), polls.stop()]).then(() => contact.deregister()));
  }

  const ready = replica.ready.then(() => void (isReady = true));
  return {
    ready,
    state() {
      const { fetchedAt: _fetchedAt, ...state } = replica.state();
      const { workerId, latest, reachable: coordinator, isContradicted } = contact.state();
      const lag = latest === null || state.revision === null ? null : Math.max(0, latest - state.revision);
      return { ...state, lag, workerId, ready: isReady, coordinator, isContradicted };
    },
    async refresh() {
      const { known, fetchedAt } = replica.state();
      // Waits out the rest of the second: what is asked for may have come meanwhile.
      if (known) await Bun.sleep(Math.max(0, fetchedAt + REFRESH_MS - performance.now()));
      await replica.refresh();
    },
    start() {
      // Events first, then the snapshot: what happens between the two is held. While Redis is away the worker serves
      // what it can fetch, and fetches again when events are heard.
      bus.subscribe({ event: hear, unknown: () => replica.lose() }).then(
        () => contact.state().workerId !== null && replica.lose(),
        (error: unknown) => log.error({ reason: reason(error) }, "cannot listen to events"),
      );
      beats.within(0);
      restore.start();
      polls.within(POLL_MS);
    },
    portsChanged() {
      if (contact.state().workerId !== null) beats.within(PORTS_SOON_MS);
    },
    retryPorts: () => replica.retryPorts(),
    leave,
    async stop() {
      const left = leave();
      await replica.stop();
      await left;
    },
  };
}
