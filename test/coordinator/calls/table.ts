/** Every call of the coordinator, with its plan and its part of the document. */
import { apps } from "./apps.ts";
import { circuits } from "./circuits.ts";
import { documented, type Documented } from "./document.ts";
import { endpointLists } from "./endpoint-lists.ts";
import { endpoints } from "./endpoints.ts";
import { impliedBy } from "./implied.ts";
import { insight } from "./insight.ts";
import { examplesOf, type AnyPlan, type Example, type Plan } from "./plan.ts";
import { calls, type Name } from "./stage.ts";
import { workers } from "./workers.ts";

export const plans: { [N in Name]: Plan<N> } = {
  ...apps,
  ...circuits,
  ...endpoints,
  ...endpointLists,
  ...workers,
  ...insight,
};

export interface Call {
  name: Name;
  plan: AnyPlan;
  documented: Documented;
  /** Everything that it refuses: what follows from the document, and what its plan has besides. */
  refusals: Example[];
}

/** The calls that are both in the table and in the document; coverage.test.ts fails for others. */
export const table: readonly Call[] = Object.entries(plans).flatMap(([key, given]) => {
  const name = key as Name;
  const plan = given as unknown as AnyPlan;
  const found = documented.find((one) => one.method === calls[name].method && one.path === calls[name].path);
  if (found === undefined) return [];
  const refusals = [...impliedBy(found, plan), ...examplesOf(plan)];
  return [{ name, plan, documented: found, refusals }];
});
