/** What a fault is to the harness. */
import type { Wiretap } from "./wiretap.ts";
import type { Stage } from "./stage.ts";

export interface FaultContext extends Stage {
  wiretap: Wiretap;
  /** Nothing new begins from now on: what the fault has done is not found out by what comes after it. */
  silence: () => void;
}

export interface Fault {
  name: string;
  /** How often it is chosen, compared with others. */
  weight: number;
  /** False where it can't happen: it is left out then. */
  isPossible?: (context: Pick<FaultContext, "cluster">) => boolean;
  /** Does it, and resolves when it is over: from then on everything has five seconds to be as it should. */
  run: (context: FaultContext) => Promise<void>;
}
