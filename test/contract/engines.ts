/** The engines that the contract holds for, and what each can't do: tests that need it are skipped by its name. */
import type { BUN_CAPABILITIES } from "../../worker/engine/bun/capabilities.ts";
import { bunEngine } from "../../worker/engine/bun/engine.ts";
import { socketsEngine } from "../../worker/engine/sockets/engine.ts";
import type { Deviation } from "../../worker/seam/capabilities.ts";
import type { Engine } from "../../worker/seam/engine.ts";
import type { Shape } from "./shapes.ts";

export const ENGINES: Record<Shape["engine"], Engine> = { bun: bunEngine, sockets: socketsEngine };

/** A name that no engine has is a fault of the test. */
export type DeviationName = keyof typeof BUN_CAPABILITIES.deviations;

/** Why an engine can't do it; undefined when it can. */
export function deviationOf(engine: Shape["engine"], name: DeviationName): Deviation | undefined {
  const deviations: Readonly<Record<string, Deviation>> = ENGINES[engine].capabilities.deviations;
  return deviations[name];
}
