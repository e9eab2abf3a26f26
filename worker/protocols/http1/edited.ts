/** Header lines after what the core changes in them, for those who write lines themselves. */
import type { HeaderEdits } from "../../seam/engine.ts";

/** Lines keep their order; those that are set or added come last. */
export function edited(lines: Iterable<[string, string]>, { remove, set, add }: HeaderEdits): [string, string][] {
  const gone = new Set([...remove, ...set.map(([name]) => name.toLowerCase())]);
  return [...[...lines].filter(([name]) => !gone.has(name.toLowerCase())), ...set, ...add];
}
