/**
 * Whether a circuit has to be waited for, and what the wait has shown: two tables. Pure; confirm.ts asks and waits.
 *
 * Before the wait, the first line that fits:
 *
 * | this request                 | acknowledged so | the worker      | →                |
 * |------------------------------|-----------------|-----------------|------------------|
 * | replaced it                  |                 |                 | publish and wait |
 * |                              | yes             |                 | served           |
 * | changed it                   | no              | the original's  | served           |
 * | found it as before           | before          | the original's  | served           |
 * | found it as before           | no              |                 | publish and wait |
 * |                              | no              |                 | wait             |
 *
 * An acknowledgement of the original's workers names no revision, so that one of a moment ago may be of what is replaced;
 * they acknowledge what is new to them, and no change of routes. What was found as before was perhaps changed before a
 * restart and never acknowledged, and its event is long gone, unless somebody waits for it already.
 */
import type { Outcome } from "./acknowledgements.ts";

/** What a request has done to a circuit; the event of a change is on its way with the commit. */
export type State = "new" | "rerouted" | "replaced" | "as before";

/**
 * `superseded`: it was moved, changed or removed meanwhile. `late`: no worker said that it serves it. `refused`: its worker
 * said that it can't.
 */
export type Confirmation = "served" | "superseded" | "late" | "refused";

/** What is known before a wait. */
export interface Before {
  state: State;
  isOriginal: boolean;
  /** The worker has acknowledged the circuit as it is. */
  isAcknowledged: boolean;
  /** A worker has served it in any state. */
  everServed: boolean;
  /** Somebody waits for it as it is. */
  isAwaited: boolean;
}

/** `publish and wait`: its event goes out once more. */
export function beforeWaiting({ state, isOriginal, isAcknowledged, everServed, isAwaited }: Before) {
  if (state === "replaced") return "publish and wait";
  if (isAcknowledged) return "served";
  if (isOriginal && (state === "rerouted" || (state === "as before" && everServed))) return "served";
  return state === "as before" && !isAwaited ? "publish and wait" : "wait";
}

/**
 * What a wait comes to. `now` is asked of the database after it: whether the circuit is still at its worker, and whether it
 * is acknowledged as it is by now.
 *
 * | heard        | still there | acknowledged by now | →          |                                                           |
 * |--------------|-------------|---------------------|------------|-----------------------------------------------------------|
 * | superseded   |             |                     | superseded |                                                           |
 * | acknowledged | yes         |                     | served     |                                                           |
 * | acknowledged | no          |                     | superseded | removed meanwhile: there is nothing to send anybody to    |
 * | late         |             | yes                 | served     | at the last moment                                        |
 * | refused      |             | yes                 | served     | another node can what one could not                       |
 * | late         |             | no                  | late       |                                                           |
 * | refused      |             | no                  | refused    |                                                           |
 */
export function afterWaiting(heard: Outcome, now: { isThere: boolean; isAcknowledged: boolean }): Confirmation {
  if (heard === "superseded") return "superseded";
  if (heard === "acknowledged") return now.isThere ? "served" : "superseded";
  return now.isAcknowledged ? "served" : heard;
}
