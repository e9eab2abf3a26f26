/**
 * Whose pages may show apps in frames (security 5). A person may click on what a hostile page shows them under something else, and
 * the click is theirs. Browsers hold pages to it; without the key each app says itself who may.
 */
import type { Entry } from "../circuits/table.ts";
import type { Listed } from "./cors.ts";

type Lines = [name: string, value: string][];

/** The lines to add to answers of a circuit's app (answer-edits.ts), beside a policy of its own: browsers hold to all policies. */
export type Frames = (entry: Entry) => Lines;

/**
 * `configured`: the origins of `proxy_worker.frame_ancestors`; `everywhere`: those whose pages may call every app; `listed`: whether
 * they may now. A circuit's same lines are the same object from one request to the next.
 */
export function createFrames(configured: readonly string[], everywhere: readonly string[], listed: Listed): Frames {
  if (configured.length === 0) return () => NONE;
  const told = new WeakMap<Entry, { value: string; lines: Lines }>();
  return (entry) => {
    if (entry.circuit.app_mode === "inference") return NONE;
    // Who may act as the person may show what they see.
    const callers = [...everywhere, ...entry.origins].filter((origin) => listed(entry, origin));
    const value = `frame-ancestors ${["'self'", ...new Set([...configured, ...callers])].join(" ")}`;
    const before = told.get(entry);
    if (before?.value === value) return before.lines;
    const lines: Lines = [["Content-Security-Policy", value]];
    told.set(entry, { value, lines });
    return lines;
  };
}

// --- internal ---

const NONE: Lines = [];
