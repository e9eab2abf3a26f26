/**
 * Whose pages may show apps in frames (security 5). A person may click on what a hostile page shows them under something else, and
 * the click is theirs. Browsers hold pages to it; without the key each app says itself who may. Pure.
 */
import type { Entry } from "../circuits/table.ts";

/** The lines to add to answers of a circuit's app (answer-edits.ts), beside a policy of its own: browsers hold to all policies. */
export type Frames = (entry: Entry) => [name: string, value: string][];

/** `configured`: the origins of `proxy_worker.frame_ancestors`; `everywhere`: those whose pages may call every app. */
export function createFrames(configured: readonly string[], everywhere: readonly string[]): Frames {
  if (configured.length === 0) return () => [];
  return ({ circuit, origins }) => {
    if (circuit.app_mode === "inference") return [];
    // Who may act as the person may show what they see.
    const allowed = ["'self'", ...new Set([...configured, ...everywhere, ...origins])];
    return [["Content-Security-Policy", `frame-ancestors ${allowed.join(" ")}`]];
  };
}
