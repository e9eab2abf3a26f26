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
import { LOOK_MS, type Listening } from "../observation.ts";
import type { Publisher } from "../delivery/publisher.ts";
import type { WorkerService } from "../workers/service.ts";

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
  listening: Listening;
  lease: Lease;
}

/** It looks at all names that were ever used. */
const FORGET_MS = 3_600_000;

export function startPeriodic(
  { database, now, log }: Deps,
  { workers, publisher, collector, listening, lease }: Services,
): Periodic {
  let collecting: Promise<void> | null = null;
  let sweeping: Promise<void> | null = null;
  let wasMine = false;
  let failing = false;
  let stopped = false;
  let forgetAt = 0;
  let collectAt = performance.now() + COLLECT_MS;

  /** In time, whatever else is under way. */
  function look(): void {
    const hearing = listening.look();
    if (hearing === "even") return;
    log.warn(
      { hearing },
      "this coordinator stood still or its clock was set: silence of workers and circuits meanwhile does not count",
    );
    collector.forget(hearing === "clock was set");
  }

  async function sweep(): Promise<void> {
    // The others may be at work meanwhile.
    const isMine = await lease.hold();
    if (isMine !== wasMine)
      log.info(isMine ? "periodic work is done here" : "periodic work is done by another coordinator");
    wasMine = isMine;
    if (!isMine) return collector.forget(false);
    await workers.sweep();
    // What another coordinator has recorded and, gone before it could, has not published.
    publisher.kick();
    const isTime = performance.now() >= forgetAt;
    await database.transaction({ requestId: null, now }, (tx) => {
      deleteExpired(tx, tx.cause.now);
      deleteOldChanges(tx, tx.cause.now - CHANGES_KEPT_MS);
      if (isTime) forgetNames(tx, tx.cause.now);
    });
    if (isTime) forgetAt = performance.now() + FORGET_MS;
    if (performance.now() < collectAt || collecting !== null || stopped) return;
    collectAt = performance.now() + COLLECT_MS;
    collecting = collector.pass().finally(() => (collecting = null));
  }

  /** Never rejects. */
  async function trySweep(): Promise<void> {
    try {
      await sweep();
      failing = false;
    } catch (error) {
      // One line an outage.
      if (!failing) log.error({ reason: reason(error) }, "periodic work failed; trying again");
      failing = true;
      // Heartbeats could not be noted either: nobody is lost for that.
      listening.lapsed();
    }
  }

  const timer = setInterval(() => {
    look();
    // It may wait for the database.
    sweeping ??= trySweep().finally(() => (sweeping = null));
  }, LOOK_MS);

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
