/**
 * Keeps this node in touch with the coordinator: registers, sends heartbeats, registers again when it is unknown,
 * and tells the replica when events may have been missed.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { Failure, reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { RouteReports } from "../../shared/protocol/schema/health.ts";
import type { WorkerCircuits, WorkerRegistration } from "../../shared/protocol/schema/worker.ts";
import type { CoordinatorClient, Registered } from "./coordinator-client.ts";
import type { Frontends } from "../listeners/frontends.ts";
import { createReplica, type ReplicaState } from "./replica/replica.ts";
import type { Known } from "./replica/state.ts";
import type { Table } from "../circuits/table.ts";

export interface SyncDeps {
  registration: WorkerRegistration;
  nodeId: string;
  coordinator: CoordinatorClient;
  bus: Bus;
  table: Table;
  frontends: Frontends;
  log: Log;
  /** Kernels that the coordinator asks to look at. */
  probe: (circuits: readonly Circuit[]) => void;
  /** How the kernels of model services are. */
  report: () => RouteReports;
  /** What the coordinator answers to a registration or heartbeat. */
  told: (answer: Registered) => void;
  /** Whether users' activity could not be written yet. */
  usageDelayed: () => boolean;
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
/** An older coordinator's events carry no revision, so losses go unseen: fetch every so often. */
const BLIND_RESYNC_MS = 30_000;
/**
 * How often it is looked whether an event was lost of which nothing else tells: the last one before a silence. Together
 * with the time that a fetch takes it is what lies between a lost event and its circuit, so it is well below 5 s.
 */
const LOOK_MS = 2500;
/** After circuits ended here the coordinator is told soon how far this node is: somebody may wait for that. */
const LOOK_SOON_MS = 20;
/** Ports become blocked and free together: a restart of a neighbour. */
const PORTS_SOON_MS = 50;
/** Events after which something may not be served any more. */
const ENDINGS: ReadonlySet<string> = new Set<AppProxyEvent["name"]>([
  "appproxy_circuit_removed_event",
  "appproxy_circuit_route_updated_event",
]);
/** A coordinator that says nothing for so long at the start is away. Milliseconds. */
const PATIENCE_MS = 3000;

export function createSync(deps: SyncDeps): Sync {
  const { coordinator, bus, log, registration, period } = deps;
  let workerId: string | null = null;
  let reachable = false;
  /** The coordinator's revision, as it was last told. */
  let latest: number | null = null;
  let isReady = false;
  let stopped = false;
  let isRestored = false;
  let complaint: string | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let beating: Promise<void> | null = null;
  let looking: Promise<void> = Promise.resolve();
  let lookTimer: ReturnType<typeof setTimeout> | null = null;
  let soon: ReturnType<typeof setTimeout> | null = null;
  let impatient: ReturnType<typeof setTimeout> | undefined;
  /** When the next beat comes; performance.now() milliseconds. */
  let dueAt = Infinity;
  const replica = createReplica({
    ...deps,
    authority: registration.authority,
    fetch: fetchCircuits,
    failed: () => schedule(RETRY_MS),
  });

  async function fetchCircuits(known: Known | null) {
    const id = workerId;
    if (id === null) throw new Failure("service-unavailable", "not registered yet");
    const answer = await call(() => coordinator.circuits(id, deps.nodeId, known));
    latest = answer.revision ?? null;
    if (answer.revision !== known?.since) lookSoon();
    return answer;
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
    if (stopped) return;
    const answer = await call(() => coordinator.register({ ...registration, node_id: deps.nodeId }));
    workerId = answer.id;
    deps.told(answer);
    log.info({ worker_id: answer.id }, "registered");
  }

  async function beat(): Promise<void> {
    if (workerId === null) await register();
    else await heartbeat(workerId);
    if (stopped) return;
    const { known, revision, fetchedAt } = replica.state();
    const blind = revision === null && performance.now() - fetchedAt > BLIND_RESYNC_MS;
    if (!known || blind) await replica.refresh();
    await replica.retryPorts();
  }

  async function heartbeat(id: string): Promise<void> {
    const { known, revision, digest } = replica.state();
    const said = {
      node_id: deps.nodeId,
      revision,
      digest: known ? digest : null,
      usage_delayed: deps.usageDelayed(),
      routes: deps.report(),
      blocked_ports: deps.frontends.blocked(),
    };
    try {
      const answer = await call(() => coordinator.heartbeat(id, said));
      deps.told(answer);
      latest = answer.revision ?? null;
      const { revision: mine, digest: ours } = replica.state();
      if (answer.revision === undefined || revision === null || mine === null) return;
      if (answer.revision === mine && ours !== null && answer.digest !== undefined && answer.digest !== ours) {
        log.warn({ revision }, "the circuits differ from the coordinator's; fetching everything");
        return replica.distrust();
      }
      // More than we have by now: an event never came. Fewer than we had when we asked: the database was put back from
      // a backup. An event that is on its way costs a needless fetch at worst.
      if (answer.revision > mine || answer.revision < revision) replica.lose();
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== "object-not-found") throw error;
      log.info("the coordinator does not know this worker; registering again");
      await register();
      replica.lose();
    }
  }

  /** The next beat comes in `ms`, or earlier if it was to come earlier. */
  function schedule(ms: number): void {
    dueAt = Math.min(dueAt, performance.now() + ms);
    if (stopped || beating !== null) return;
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(start, Math.max(0, dueAt - performance.now()));
  }

  function start(): void {
    dueAt = Infinity;
    beating = beat()
      .then(
        () => {
          complaint = null;
          schedule(period);
        },
        async (error: unknown) => {
          complain(reason(error));
          schedule(Math.min(period, RETRY_MS));
          // One that refuses this worker is not away.
          const isRefused = error instanceof Failure && error.kind === "appproxy/worker-registration-error";
          if (!isRefused) await restore();
          // A port that another program had comes free also while the coordinator is away.
          await replica.retryPorts();
        },
      )
      .finally(() => {
        beating = null;
        schedule(period);
      });
  }

  /** Looks, and again some time after it knows. */
  async function lookOften(): Promise<void> {
    const was = reachable;
    try {
      await replica.look();
      // Somebody may wait for a port that is free again.
      await replica.retryPorts();
      // It was away: this node's lease may have run out.
      if (!was && reachable) schedule(0);
    } catch (error) {
      // Unknown to it: the next beat registers again.
      if (reachable) schedule(0);
      log.debug({ reason: reason(error) }, "cannot look for missed changes");
    }
    if (!stopped) lookTimer = setTimeout(lookAgain, LOOK_MS);
  }

  function lookAgain(): void {
    looking = lookOften();
  }

  function lookSoon(): void {
    if (soon !== null || stopped) return;
    soon = setTimeout(() => {
      soon = null;
      replica.look().catch((error: unknown) => log.debug({ reason: reason(error) }, "cannot say how far this node is"));
    }, LOOK_SOON_MS);
  }

  /** At the start: what was served before is served again, until the coordinator says what has changed. */
  async function restore(): Promise<void> {
    if (isReady || isRestored || stopped) return;
    isRestored = true;
    const saved = deps.saved();
    if (saved === null) return;
    log.warn(
      { circuits: saved.circuits.length, revision: saved.revision },
      "the coordinator is away: serving the circuits that were saved",
    );
    await replica.restore(saved);
  }

  /** One line a kind of trouble, not one a second. */
  function complain(why: string): void {
    if (why === complaint) return;
    complaint = why;
    log.warn({ reason: why }, "no help from the coordinator; going on with what is known");
  }

  function hear(event: AppProxyEvent): void {
    const isMine = event.payload.target_worker_authority === registration.authority;
    if (event.name === "appproxy_circuit_probe_event") return isMine && !stopped ? deps.probe(event.payload.circuits) : undefined; // prettier-ignore
    replica.receive(event);
    if (isMine && ENDINGS.has(event.name)) lookSoon();
  }

  let left: Promise<void> | null = null;
  function leave(): Promise<void> {
    stopped = true;
    if (timer !== null) clearTimeout(timer);
    if (lookTimer !== null) clearTimeout(lookTimer);
    clearTimeout(impatient);
    if (soon !== null) clearTimeout(soon);
    replica.leave();
    return (left ??= deregister());
  }

  async function deregister(): Promise<void> {
    await Promise.all([beating, looking]);
    if (workerId === null) return;
    await coordinator.deregister(workerId, deps.nodeId).catch((error: unknown) => {
      log.warn({ reason: reason(error) }, "cannot deregister; the lease will run out");
    });
  }

  const ready = replica.ready.then(() => void (isReady = true));
  return {
    ready,
    state() {
      const { fetchedAt: _fetchedAt, ...state } = replica.state();
      const lag = latest === null || state.revision === null ? null : Math.max(0, latest - state.revision);
      return { ...state, lag, workerId, ready: isReady, coordinator: reachable };
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
        () => workerId !== null && replica.lose(),
        (error: unknown) => log.error({ reason: reason(error) }, "cannot listen to events"),
      );
      start();
      impatient = setTimeout(() => {
        restore().catch((error: unknown) => log.error({ reason: reason(error) }, "cannot serve the saved circuits"));
      }, PATIENCE_MS);
      lookTimer = setTimeout(lookAgain, LOOK_MS);
    },
    portsChanged() {
      if (workerId !== null) schedule(PORTS_SOON_MS);
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
