/** Workers' lives: registration, heartbeats, leases, loss. */
import { Failure, notFound, reason } from "../../shared/failure.ts";
import type {
  BeatenWorker,
  Heartbeat,
  RegisteredWorker,
  ServiceWorkers,
  Slot,
  Worker,
  WorkerCircuits,
  WorkerRegistration,
} from "../../shared/protocol/schema/worker.ts";
import { noteServiceWorker } from "../store/occupants.ts";
import { write } from "../store/open.ts";
import type { Deps } from "../deps.ts";
import { circuitsFor, type Position } from "../store/changes-since.ts";
import type { Listening } from "../observation.ts";
import type { Positions } from "../delivery/node-revisions.ts";
import { registrationFault } from "./registration.ts";
import { slotsOf } from "../store/slots.ts";
import type { Refusals } from "../circuits/refusals.ts";
import * as store from "../store/workers.ts";

export interface WorkerService {
  register(wanted: WorkerRegistration): RegisteredWorker;
  /** Throws object-not-found when the worker must register again. */
  heartbeat(id: string, beat: Heartbeat): BeatenWorker;
  /** A node leaves; with the last one the worker is TERMINATED. Its circuits stay for its return. */
  deregister(id: string, nodeId: string | null): void;
  get(id: string): Worker;
  list(): Worker[];
  /** All circuits of a worker, or what has changed since a node's revision. Throws object-not-found. */
  circuits(id: string, known: Position | null, nodeId?: string): WorkerCircuits;
  /** Apps have had service workers' scripts fetched there: the slots go to nobody else. Throws object-not-found. */
  noteServiceWorkers(id: string, slots: ServiceWorkers["slots"]): void;
  /** Slots of one worker (by authority or id) or of all; the used ones, or all. Throws object-not-found. */
  slots(worker: string | undefined, inUse: boolean): Slot[];
  /** Periodic: drops dead leases and calls silent workers LOST. */
  sweep(): void;
}

/** `listening`: since when a worker could be heard of. */
export function createWorkerService(
  deps: Deps,
  listening: Pick<Listening, "since">,
  positions: Positions,
  refusals: Pick<Refusals, "told" | "left">,
): WorkerService {
  const { database, config, now, newId, log } = deps;
  const { db } = database;
  const timeout = config.proxy_coordinator.worker_heartbeat_timeout * 1000;
  /** Half the time after which a worker is LOST, so that `nodes` tells of a crash before that. */
  const lease = timeout / 2;
  const told = { home_url: config.proxy_coordinator.home_url };

  function beat(row: store.WorkerRow, nodeId: string | null | undefined, said: store.Said): void {
    const name = nodeId ?? store.NAMELESS_NODE;
    write(db, (tx) => store.renewLease(tx, row.id, name, said, now() + lease, now()));
    deps.live.workerSeen(row.authority, now() / 1000).catch((error: unknown) => {
      log.debug({ worker: row.authority, reason: reason(error) }, "cannot note in Redis that the worker was seen");
    });
  }

  function known(id: string): store.WorkerRow {
    const row = store.getWorker(db, id);
    if (row === undefined) throw notFound("worker");
    return row;
  }

  return {
    register(wanted) {
      const fault = registrationFault(wanted);
      if (fault !== null) throw new Failure("invalid-api-params", fault);
      const row = write(db, (tx) => store.upsertWorker(tx, wanted, newId(), now()));
      // What it could not write before is not written by coming back.
      const usageDelayed = store.hasDelayedUsage(db, row.id, wanted.node_id ?? store.NAMELESS_NODE);
      beat(row, wanted.node_id, { revision: null, agrees: null, usageDelayed, routeReports: null });
      log.info({ worker: row.authority, node: wanted.node_id ?? null }, "worker registered");
      return { ...store.toWorker(db, known(row.id), now()), ...told };
    },
    heartbeat(
      id,
      {
        node_id: nodeId,
        revision = null,
        digest = null,
        usage_delayed: usageDelayed,
        routes,
        slots,
        blocked_ports: blocked,
      },
    ) {
      const row = known(id);
      // A node that left, or was thought dead long ago, starts anew: its registration may have changed meanwhile.
      if (row.status === "TERMINATED" && !store.hasNode(db, id, nodeId ?? store.NAMELESS_NODE))
        throw notFound("worker");
      if (row.status === "LOST") log.info({ worker: row.authority }, "lost worker is back");
      // Of another revision it can't be said: events are on their way.
      const agrees = digest === null || revision !== row.revision ? null : digest === row.digest;
      if (agrees === false) log.warn({ worker: row.authority, node: nodeId, revision }, "a node's circuits differ");
      if (nodeId != null && revision !== null) positions.note(id, nodeId, revision);
      beat(row, nodeId, { revision, agrees, usageDelayed: usageDelayed ?? false, routeReports: routes ?? null });
      if (nodeId != null && blocked != null) refusals.told(id, nodeId, blocked);
      return { ...(slots === false ? store.toBriefWorker : store.toWorker)(db, known(id), now()), ...told };
    },
    deregister(id, nodeId) {
      const row = known(id);
      const left = write(db, (tx) => {
        // Leases that ran out while there was no coordinator say nothing of their nodes.
        const asOf = now() - listening.since() < lease ? 0 : now();
        const alive = store.endLease(tx, id, nodeId ?? store.NAMELESS_NODE, asOf);
        if (alive === 0) store.setStatus(tx, id, "TERMINATED", now());
        return alive;
      });
      log.info({ worker: row.authority, node: nodeId, nodes: left }, "worker node deregistered");
      if (left === 0) refusals.left(id);
      // The same said twice is announced once.
      if (left === 0 && row.status !== "TERMINATED") announce("worker_terminated", row.authority, "deregistered");
    },
    get: (id) => store.toWorker(db, known(id), now()),
    list: () => store.listWorkers(db).map((row) => store.toWorker(db, row, now())),
    circuits(id, have, nodeId) {
      if (have?.epoch === database.epoch && nodeId !== undefined) positions.note(id, nodeId, have.since);
      // One transaction, so that the circuits and the revision belong together.
      return db.transaction(() => circuitsFor(db, known(id), database.epoch, have));
    },
    noteServiceWorkers(id, slots) {
      const { authority } = known(id);
      write(db, (tx) => {
        for (const { port, subdomain, user_id: user } of slots)
          noteServiceWorker(tx, { workerId: id, port, subdomain }, user?.toLowerCase() ?? null, now());
      });
      for (const { port, subdomain, user_id: user } of slots)
        log.info({ worker: authority, port, subdomain, user }, "a service worker's script was fetched: the slot is kept from other users"); // prettier-ignore
    },
    slots(worker, inUse) {
      const found = store.findWorkers(db, worker);
      if (worker !== undefined && found.length === 0) throw notFound("worker");
      return found.flatMap((row) => slotsOf(db, row, now())).filter((slot) => slot.in_use || !inUse);
    },
    sweep() {
      store.clampToNow(db, now(), lease);
      if (now() - listening.since() < timeout) return;
      store.dropExpiredNodes(db, now());
      // One transaction: another coordinator may hear of one of them right now.
      const lost = write(db, (tx) => {
        const silent = store.silentWorkers(tx, now() - timeout);
        for (const { id } of silent) store.setStatus(tx, id, "LOST", now());
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
