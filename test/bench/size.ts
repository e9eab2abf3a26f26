/** How much a part of the benchmarks does. */

/** `full` gives figures; `smoke` shows only that the part works: it takes seconds, and what it measures means nothing. */
export type Size = "full" | "smoke";
