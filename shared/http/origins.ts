/** Lists of web origins (`allowed_origins`): whose pages may call a circuit with the person's cookies. */
import { isUrlHost } from "./host.ts";

/** The origins of a comma-separated list as browsers write them, and the entries that are none. */
export function readOrigins(list: string): { origins: string[]; bad: string[] } {
  const entries = list.split(",").map((entry) => entry.trim());
  const read = entries.filter((entry) => entry !== "").map((entry) => [entry, originOf(entry)] as const);
  return {
    origins: [...new Set(read.flatMap(([, origin]) => origin ?? []))],
    bad: read.flatMap(([entry, origin]) => (origin === null ? [entry] : [])),
  };
}

/** The origin that a text names and nothing else; null for anything else, also for `*`, `null` and `https://*.example`. */
export function originOf(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, hostname, origin, href } = new URL(text);
  const isOne = (protocol === "http:" || protocol === "https:") && href === `${origin}/`;
  // `new URL` takes more: `*`, which a policy for frames would take for every name, or a comma.
  return isOne && isUrlHost(hostname.replace(/^\[|\]$/g, "")) ? origin : null;
}
