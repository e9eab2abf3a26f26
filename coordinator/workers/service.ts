/** Workers' lives: registration, heartbeats, leases, loss. */
import { Failure, notFound, reason } from "../../shared/failure.ts";
import type {
  HeartbeatAnswer,
  Heartbeat,
  RegisteredWorker,
  ServiceWorkers,
  Slot,
  Worker,
  WorkerCircuits,
  WorkerRegistration,
} from "../../shared/protocol/schema/worker.ts";
import { noteServiceWorker } from "../store/occupants.ts";
import { ITSELF, type Query, type Tx } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import { circuitsFor } from "../store/changes-since.ts";
import type { Revision } from "../../shared/protocol/revision.ts";
import type { Observation } from "../observation.ts";
import type { NodeRevisions } from "../delivery/node-revisions.ts";
import { conflictOf } from "./contradiction.ts";
import { createConflictLog } from "./conflict-log.ts";
import { registrationFault } from "./registration.ts";
import { slotsOf } from "../store/slots.ts";
import type { Refusals } from "../circuits/refusals.ts";
import * as store from "../store/workers.ts";
import {
  type Said,
  renewLease,
  endLease,
  hasNode,
  hasDelayedUsage,
  NAMELESS_NODE,
  dropExpiredNodes,
} from "../store/nodes.ts";

export interface WorkerService {
  /** `from`: the caller's address, for the log. Rejects with worker-conflict when a living node of its authority contradicts it. */
  register(wanted: WorkerRegistration, from?: string | null): Promise<RegisteredWorker>;
  /** Rejects with object-not-found when the worker must register again. */
  heartbeat(id: string, beat: Heartbeat, from?: string | null): Promise<HeartbeatAnswer>;
  /** A node leaves; with the last one the worker is TERMINATED. Its circuits stay for its return. */
  deregister(id: string, nodeId: string | null): Promise<void>;
  get(id: string): Promise<Worker>;
  list(): Promise<Worker[]>;
  /** All circuits of a worker, or what has changed since a node's revision. Rejects with object-not-found. */
  circuits(id: string, have: Revision | null, nodeId?: string): Promise<WorkerCircuits>;
  /** Apps have had service workers' scripts fetched there: the slots go to nobody else. Rejects with object-not-found. */
  noteServiceWorkers(id: string, slots: ServiceWorkers["slots"]): Promise<void>;
  /** Slots of one worker (by authority or id) or of all; the used ones, or all. Rejects with object-not-found. */
  slots(worker: string | undefined, inUse: boolean): Promise<Slot[]>;
  /** Periodic: drops dead leases and calls silent workers LOST. */
  sweep(): Promise<void>;
}

/** `observation`: since when a worker could be heard of. */
export function createWorkerService(
  deps: Deps,
  observation: Pick<Observation, "since">,
  nodeRevisions: NodeRevisions,
  refusals: Pick<Refusals, "told" | "left">,
): WorkerService {
  const { database, config, now, newId, log } = deps;
  const timeout = config.proxy_coordinator.worker_heartbeat_timeout * 1000;
  /** Half the time after which a worker is LOST, so that `nodes` tells of a crash before that. */
  const lease = timeout / 2;
  const conflicts = createConflictLog(log, now);
  const told = { home_url: config.proxy_coordinator.home_url };
  const cause = { ...ITSELF, now };

  function renew(tx: Tx, id: string, nodeId: string | null | undefined, said: Said): void {
    renewLease(tx, { workerId: id, nodeId: nodeId ?? NAMELESS_NODE }, said, tx.cause.now + lease);
  }

  function noteSeen({ authority }: store.WorkerRow): void {
    deps.live.workerSeen(authority, now() / 1000).catch((error: unknown) => {
      log.debug({ worker: authority, reason: reason(error) }, "cannot note in Redis that the worker was seen");
    });
  }

  /** Leases that ran out while there was no coordinator say nothing of their nodes: all of them count then. */
  const leasesAsOf = (at: number) => (at - observation.since() < lease ? 0 : at);

  async function heartbeat(id: string, beat: Heartbeat, from: string | null = null): Promise<HeartbeatAnswer> {
    const {
      node_id: nodeId,
      revision = null,
      digest = null,
      usage_delayed: usageDelayed,
      routes,
      jwt_keys: jwtKeys,
    } = beat;
    const { row, agrees } = await database.transaction(cause, (tx) => {
      const row = known(tx, id);
      // A node that left, or was thought dead long ago, starts anew: its registration may have changed meanwhile.
      if (row.status === "TERMINATED" && !hasNode(tx, id, nodeId ?? NAMELESS_NODE)) throw notFound("worker");
      // Of another revision it can't be said: events are on their way.
      const agrees = digest === null || revision !== row.revision ? null : digest === row.digest;
      const said = { revision, agrees, usageDelayed: usageDelayed ?? false, routeReports: routes ?? null };
      renew(tx, id, nodeId, { ...said, jwtKeys: jwtKeys ?? null });
      return { row, agrees };
    });
    noteSeen(row);
    conflicts.seen(id, nodeId, from);
    if (row.status === "LOST") log.info({ worker: row.authority }, "lost worker is back");
    if (agrees === false) log.warn({ worker: row.authority, node: nodeId, revision }, "a node's circuits differ");
    if (nodeId != null && revision !== null) nodeRevisions.note(id, nodeId, revision);
    if (nodeId != null && beat.blocked_ports != null) await refusals.told(id, nodeId, beat.blocked_ports);
    const answer = beat.slots === false ? store.toBriefWorker : store.toWorker;
    return { ...(await database.read((q) => answer(q, known(q, id), now()))), ...told };
  }

  return {
    heartbeat,
    async register(wanted, from = null) {
      const fault = registrationFault(wanted);
      if (fault !== null) throw new Failure("invalid-api-params", fault);
      const { row, answer } = await database.transaction(cause, (tx) => {
        const conflict = conflictOf(tx, wanted, leasesAsOf(tx.cause.now));
        if (conflict !== null) throw conflicts.refuse(conflict, wanted, from);
        const row = store.upsertWorker(tx, wanted, newId(), tx.cause.now);
        // What it could not write before is not written by coming back.
        const usageDelayed = hasDelayedUsage(tx, row.id, wanted.node_id ?? NAMELESS_NODE);
        const jwtKeys = wanted.jwt_keys ?? null;
        renew(tx, row.id, wanted.node_id, { revision: null, agrees: null, usageDelayed, routeReports: null, jwtKeys });
        return { row, answer: store.toWorker(tx, known(tx, row.id), tx.cause.now) };
      });
      noteSeen(row);
      conflicts.seen(row.id, wanted.node_id, from);
      log.info({ worker: row.authority, node: wanted.node_id ?? null }, "worker registered");
      return { ...answer, ...told };
    },
    async deregister(id, nodeId) {
      const { row, left } = await database.transaction(cause, (tx) => {
        const row = known(tx, id);
        const left = endLease(tx, id, nodeId ?? NAMELESS_NODE, leasesAsOf(tx.cause.now));
        if (left === 0) store.setStatus(tx, id, "TERMINATED", tx.cause.now);
        return { row, left };
      });
      log.info({ worker: row.authority, node: nodeId, nodes: left }, "worker node deregistered");
      if (left === 0) refusals.left(id);
      // The same said twice is announced once.
      if (left === 0 && row.status !== "TERMINATED") announce("worker_terminated", row.authority, "deregistered");
    },
    get: (id) => database.read((q) => store.toWorker(q, known(q, id), now())),
    list: () => database.read((q) => store.listWorkers(q).map((row) => store.toWorker(q, row, now()))),
    circuits(id, have, nodeId) {
      if (have?.epoch === database.epoch && nodeId !== undefined) nodeRevisions.note(id, nodeId, have.number);
      // One state of the database, so that the circuits and the revision belong together.
      return database.read((q) => circuitsFor(q, known(q, id), database.epoch, have));
    },
    async noteServiceWorkers(id, slots) {
      const { authority } = await database.transaction(cause, (tx) => {
        for (const { port, subdomain, user_id: user } of slots)
          noteServiceWorker(tx, { workerId: id, port, subdomain }, user?.toLowerCase() ?? null, tx.cause.now);
        return known(tx, id);
      });
      for (const { port, subdomain, user_id: user } of slots)
        log.info({ worker: authority, port, subdomain, user }, "a service worker's script was fetched: the slot is kept from other users"); // prettier-ignore
    },
    slots: (worker, inUse) =>
      database.read((q) => {
        const found = store.findWorkers(q, worker);
        if (worker !== undefined && found.length === 0) throw notFound("worker");
        return found.flatMap((row) => slotsOf(q, row, now())).filter((slot) => slot.in_use || !inUse);
      }),
    async sweep() {
      const lost = await database.transaction(cause, (tx) => {
        const at = tx.cause.now;
        store.clampToNow(tx, at, lease);
        if (at - observation.since() < timeout) return [];
        dropExpiredNodes(tx, at);
        // With what is read, in one transaction: another coordinator may hear of one of them right now.
        const silent = store.silentWorkers(tx, at - timeout);
        for (const { id } of silent) store.setStatus(tx, id, "LOST", at);
        return silent;
      });
      for (const row of lost) {
        log.warn({ worker: row.authority }, "worker lost: no heartbeat");
        announce("worker_lost", row.authority, `no heartbeat for ${timeout / 1000} s`);
      }
    },
  };

  function announce(name: "worker_lost" | "worker_terminated", authority: string, why: string): void {
    deps.bus.announce({ name, payload: { worker_id: authority, reason: why } }).catch((error: unknown) => {
      log.warn({ worker: authority, reason: reason(error) }, `cannot announce ${name}`);
    });
  }
}

// --- internal ---

function known(q: Query, id: string): store.WorkerRow {
  const row = store.getWorker(q, id);
  if (row === undefined) throw notFound("worker");
  return row;
}
