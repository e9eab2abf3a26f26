/**
 * The worker's copy of its circuits: applies events in order, acknowledges, and fetches what it lacks whenever events may
 * have been missed. What is served goes on being served meanwhile. What follows from what is decided in step.ts; this
 * carries it out. ../sync.ts owns the registration around it.
 */
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import type { Revision } from "../../../shared/protocol/revision.ts";
import { reason } from "../../../shared/failure.ts";
import type { WorkerCircuits } from "../../../shared/protocol/schema/worker.ts";
import { createAcknowledger, type Acknowledger, type AcknowledgerDeps } from "./acknowledge.ts";
import { createChanger } from "./changes.ts";
import { INITIAL, pollBasis, type Change, type Effect, type Input, type State } from "./state.ts";
import { step } from "./step.ts";
import type { Table } from "../../circuits/table.ts";

export interface ReplicaDeps extends AcknowledgerDeps {
  /** Fetches what has changed since what is known, or everything; rejects while the coordinator is away. */
  fetch: (have: Revision | null) => Promise<WorkerCircuits>;
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

export interface Replica {
  receive(event: AppProxyEvent): void;
  /** Events may have been missed; a fetch that is under way may be too early to have them. */
  lose(): void;
  /** The table was found to differ though no event was missed: everything is fetched anew. */
  distrust(): void;
  /** Fetches what is lacking now. Rejects when that fails. */
  refresh(): Promise<void>;
  /** Finds out whether something was missed without a sign of it: the last event before a silence. Rejects when it can't. */
  poll(): Promise<void>;
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

/** Starts with nothing known; `refresh` fetches for the first time. */
export function createReplica(deps: ReplicaDeps): Replica {
  const acknowledger = createAcknowledger(deps);
  const runner = new Runner(deps, acknowledger);
  const { table, frontends } = deps;
  return {
    receive(event) {
      if (event.payload.target_worker_authority === deps.authority && !isWorkers(event))
        runner.send({ kind: "event", event });
    },
    lose: () => runner.send({ kind: "lose" }),
    distrust: () => runner.send({ kind: "distrust" }),
    refresh: () => runner.refresh(),
    async poll() {
      const asked = pollBasis(runner.state);
      if (asked === null) return;
      const answer = await deps.fetch(asked);
      await runner.take((ticket) => ({ kind: "polled", asked, answer, ticket }));
    },
    restore: (saved) => runner.take((ticket) => ({ kind: "restore", saved, ticket })),
    async retryPorts() {
      acknowledger.send(await frontends.retry(), null);
    },
    state() {
      const { phase, revision, epoch = null, comparable, fetchedAt, syncedAt } = runner.state;
      const digest = comparable ? table.digest : null;
      return { known: phase.kind === "synced", revision, epoch, digest, fetchedAt, syncedAt };
    },
    ready: runner.ready.promise,
    leave() {
      acknowledger.stop();
      runner.send({ kind: "leave" });
    },
    stop() {
      acknowledger.stop();
      runner.send({ kind: "stop" });
      return runner.idle();
    },
  };
}

// --- internal ---

/** What workers say; their own comes back to them. */
function isWorkers({ name }: AppProxyEvent): boolean {
  return name === "appproxy_worker_circuit_added_event" || name === "appproxy_worker_circuit_refused_event";
}

/** Carries the machine's effects out, in their order, and tells it what came of them. */
class Runner {
  state: State = INITIAL;
  readonly ready = Promise.withResolvers<void>();
  readonly #deps: ReplicaDeps;
  readonly #change: (change: Change) => Promise<boolean>;
  readonly #sleep: (ms: number) => Promise<void>;
  /** Whoever waits for the run of fetches that is under way. */
  #run: PromiseWithResolvers<void> | null = null;
  /** By ticket. */
  readonly #taking = new Map<number, PromiseWithResolvers<void>>();
  #tickets = 0;
  #idle: PromiseWithResolvers<void> | null = null;

  constructor(deps: ReplicaDeps, acknowledger: Acknowledger) {
    this.#deps = deps;
    this.#change = createChanger(deps, acknowledger);
    this.#sleep = deps.sleep ?? Bun.sleep;
  }

  send(input: Input): void {
    const { state, effects } = step(this.state, input);
    this.state = state;
    // The table changes in the same turn as the revision: nobody sees one without the other.
    for (const effect of effects) this.#carryOut(effect);
    if (this.#isIdle()) this.#idle?.resolve();
  }

  refresh(): Promise<void> {
    this.send({ kind: "refresh" });
    return this.#run?.promise ?? Promise.resolve();
  }

  /** Resolves when what the input brings has been taken; rejects when that has failed. */
  take(input: (ticket: number) => Input): Promise<void> {
    const ticket = ++this.#tickets;
    const done = Promise.withResolvers<void>();
    this.#taking.set(ticket, done);
    this.send(input(ticket));
    return done.promise;
  }

  /** Resolves when nothing waits for its turn. */
  idle(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return (this.#idle ??= Promise.withResolvers<void>()).promise;
  }

  #isIdle(): boolean {
    return this.state.working === null && this.state.queue.length === 0;
  }

  #carryOut(effect: Effect): void {
    const { log, table, fetch, failed } = this.#deps;
    switch (effect.kind) {
      case "change":
        return this.#work(effect.change);
      case "wait":
        return this.#wait(effect.until);
      case "ask":
        return void fetch(effect.have).then(
          (answer) => this.send({ kind: "answered", answer }),
          (error: unknown) => this.send({ kind: "failed", error }),
        );
      case "known":
        log.info({ circuits: table.size, revision: effect.revision }, "circuits are known");
        return this.ready.resolve();
      case "restored":
        return this.ready.resolve();
      case "settled":
        return this.#endRun((run) => run.resolve());
      case "gaveUp":
        failed();
        return this.#endRun((run) => run.reject(effect.error));
      case "finished":
        return this.#finish(effect.ticket, effect.error);
      case "log":
        return log[effect.level](effect.about, effect.message);
    }
  }

  #work(change: Change): void {
    const { table } = this.#deps;
    this.#change(change).then(
      (isStrange) => {
        const outcome = { digest: table.digest, circuits: table.size, isStrange, at: performance.now() };
        this.send({ kind: "changed", outcome });
      },
      (error: unknown) => this.send({ kind: "broken", error }),
    );
  }

  #wait(until: number): void {
    if (this.#run === null) {
      this.#run = Promise.withResolvers();
      this.#run.promise.catch((error: unknown) =>
        this.#deps.log.debug({ reason: reason(error) }, "cannot fetch circuits yet"),
      );
    }
    void this.#sleep(Math.max(0, until - performance.now())).then(() => this.send({ kind: "waited" }));
  }

  #endRun(settle: (run: PromiseWithResolvers<void>) => void): void {
    const run = this.#run;
    this.#run = null;
    if (run !== null) settle(run);
  }

  #finish(ticket: number, error: unknown): void {
    const done = this.#taking.get(ticket);
    this.#taking.delete(ticket);
    if (error === undefined) done?.resolve();
    else done?.reject(error);
  }
}
