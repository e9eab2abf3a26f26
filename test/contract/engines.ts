/** The engines that the contract holds for, and what each can't do: tests that need it are skipped by its name. */
import type { BUN_CAPABILITIES } from "../../worker/engine/bun/capabilities.ts";
import { ENGINES } from "../../worker/compose/engines.ts";
import type { Deviation } from "../../worker/seam/capabilities.ts";
import type { Shape } from "./shapes.ts";

/** What becomes of a WebSocket's frames. */
export type Frames = "made anew" | "passed";

export function framesOf(engine: Shape["engine"]): Frames {
  return ENGINES[engine].capabilities.tunnels ? "passed" : "made anew";
}

/** A name that no engine has is a fault of the test. */
export type DeviationName = keyof typeof BUN_CAPABILITIES.deviations;

/** Why an engine can't do it; undefined when it can. */
export function deviationOf(engine: Shape["engine"], name: DeviationName): Deviation | undefined {
  const deviations: Readonly<Record<string, Deviation>> = ENGINES[engine].capabilities.deviations;
  return deviations[name];
}
