/**
 * What a coordinator does by itself: calls silent workers lost, collects unused circuits, forgets expired tokens and old
 * changes, publishes what another coordinator has left behind. Of several coordinators on one database one does it.
 */
import { reason } from "../../shared/failure.ts";
import type { Collector } from "../circuits/collector.ts";
import { forgetNames } from "../store/occupants.ts";
import { deleteExpired } from "../store/tokens.ts";
import { deleteOldChanges } from "../store/changes.ts";
import type { Deps } from "../deps.ts";
import type { Lease } from "./lease.ts";
import { CHECK_MS, type Observation } from "../observation.ts";
import type { Publisher } from "../delivery/publisher.ts";
import type { WorkerService } from "../workers/service.ts";
import { ITSELF } from "../store/store.ts";

export interface Periodic {
  stop(): Promise<void>;
}

/** Nodes that missed more than these fetch everything; a table of a thousand routes that changes each second is 20 GB a day. */
const CHANGES_KEPT_MS = 10 * 60 * 1000;
/** consistency 8. */
const COLLECT_MS = 10_000;

interface Services {
  workers: WorkerService;
  publisher: Publisher;
  collector: Collector;
  observation: Observation;
  lease: Lease;
}

/** It looks at all names that were ever used. */
const FORGET_MS = 3_600_000;

export function startPeriodic(
  { database, now, log }: Deps,
  { workers, publisher, collector, observation, lease }: Services,
): Periodic {
  let collecting: Promise<void> | null = null;
  let sweeping: Promise<void> | null = null;
  let wasMine = false;
  /** Parts that have failed at their last try. */
  const failing = new Set<string>();
  let stopped = false;
  let forgetAt = 0;
  let collectAt = performance.now() + COLLECT_MS;

  /** In time, whatever else is under way. */
  function checkObservation(): void {
    const hearing = observation.check();
    if (hearing === "even") return;
    log.warn(
      { hearing },
      "this coordinator stood still or its clock was set: silence of workers and circuits meanwhile does not count",
    );
    collector.forget(hearing === "clock was set");
  }

  /** Whether the work is done here, and then what can't wait: who is silent, and what is unpublished. */
  async function watch(): Promise<boolean> {
    // The others may be at work meanwhile.
    const isMine = await lease.hold();
    if (isMine !== wasMine)
      log.info(isMine ? "periodic work is done here" : "periodic work is done by another coordinator");
    wasMine = isMine;
    if (!isMine) {
      collector.forget(false);
      return false;
    }
    await workers.sweep();
    // What another coordinator has recorded and, gone before it could, has not published.
    publisher.wake();
    return true;
  }

  async function forgetOld(): Promise<void> {
    const isTime = performance.now() >= forgetAt;
    if (isTime) forgetAt = performance.now() + FORGET_MS;
    await database.transaction({ ...ITSELF, now }, (tx) => {
      deleteExpired(tx, tx.cause.now);
      deleteOldChanges(tx, tx.cause.now - CHANGES_KEPT_MS);
      if (isTime) forgetNames(tx, tx.cause.now);
    });
  }

  function collect(): void {
    if (performance.now() < collectAt || collecting !== null || stopped) return;
    collectAt = performance.now() + COLLECT_MS;
    collecting = collector.pass().finally(() => (collecting = null));
  }

  /** What `work` gives; null when it has failed. Never rejects. */
  async function tried<T>(part: string, work: () => Promise<T>): Promise<T | null> {
    try {
      const result = await work();
      failing.delete(part);
      return result;
    } catch (error) {
      // One line an outage.
      if (!failing.has(part)) log.error({ part, reason: reason(error) }, "periodic work failed; trying again");
      failing.add(part);
      return null;
    }
  }

  /** Never rejects. What one part can't do keeps none of the others. */
  async function sweep(): Promise<void> {
    const isMine = await tried("watching workers", watch);
    // Heartbeats could not be noted either: nobody is lost for that.
    if (isMine === null) observation.lapsed();
    if (isMine !== true) return;
    await tried("forgetting what is old", forgetOld);
    collect();
  }

  const timer = setInterval(() => {
    checkObservation();
    // It may wait for the database.
    sweeping ??= sweep().finally(() => (sweeping = null));
  }, CHECK_MS);

  return {
    async stop() {
      clearInterval(timer);
      stopped = true;
      await sweeping;
      await collecting;
      try {
        await lease.release();
      } catch (error) {
        log.debug({ reason: reason(error) }, "cannot release the lease; it expires by itself");
      }
    },
  };
}
