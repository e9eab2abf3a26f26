/**
 * CORS and CORP for answers of apps (dataplane H13): the app's own headers win. Without them a model service may be read from anywhere,
 * since its credential is a header; and a circuit that lists origins may be called by their pages with the person's cookies.
 */
import type { Answer } from "../../shared/http/page.ts";
import type { RequestHead } from "../seam/engine.ts";
import { ownText, Recent } from "../../shared/runtime/recent.ts";
import { labelOf } from "../circuits/label.ts";
import type { Entry, Table } from "../circuits/table.ts";

type Lines = [name: string, value: string][];

/** Says whether pages of an origin may call a circuit. */
export interface Listed {
  (entry: Entry, origin: string): boolean;
  /** Whether some pages may call every circuit. */
  forAll: boolean;
}

interface ListedDeps {
  table: Table;
  /** Origins that may call every circuit. */
  everywhere: readonly string[];
  /** The wildcard domain with its leading dot. */
  domain: string | null;
  /** Where browsers find a circuit. */
  origin: (entry: Entry) => string;
}

/** A slot that another person's circuit has by now is not what was listed: slots are used again. */
export function createListed({ table, everywhere, domain, origin: originOf }: ListedDeps): Listed {
  const always = new Set(everywhere);
  /** A URL is read once: each request may ask for each origin. */
  const slots = new Recent<Slot>(MAX_SLOTS);
  const slotOf = (origin: string): Slot => {
    const known = slots.get(origin);
    if (known !== undefined) return known;
    const { protocol, hostname, port } = new URL(origin);
    const label = domain === null ? null : labelOf(hostname, domain);
    // A scheme's own port is not in an origin.
    const slot = { label, port: (port === "" ? DEFAULT_PORTS[protocol] : Number(port)) ?? 0 };
    slots.set(ownText(origin), slot);
    return slot;
  };
  const holder = (origin: string): Entry | undefined => {
    const { label, port } = slotOf(origin);
    const entry = label === null ? table.byPort(port) : table.bySubdomain(label);
    return entry !== undefined && originOf(entry) === origin ? entry : undefined;
  };
  const listed = (entry: Entry, origin: string) => {
    if (!entry.origins.has(origin) && !always.has(origin)) return false;
    const there = holder(origin);
    return there === undefined || there.circuit.user_id === entry.circuit.user_id;
  };
  return Object.assign(listed, { forAll: always.size > 0 });
}

/** The lines to add to the app's answer when it has no Access-Control-Allow-Origin. */
export function corsLines(entry: Entry, head: RequestHead, listed: Listed): Lines {
  if (entry.circuit.app_mode === "inference") return ANYBODY;
  const origin = head.header("origin");
  if (origin !== null && listed(entry, origin)) return withCredentials(origin);
  return entry.origins.size === 0 && !listed.forAll ? NONE : VARIES;
}

/**
 * The lines to add to an answer that has no Cross-Origin-Resource-Policy: only the circuit's own pages may load it. A browser's
 * cache is a site's, so another app's page of the same site would load from it what we keep from that page (origin.ts). For
 * browsers that say who asks, where that is so; and not where pages of other origins may call.
 */
export function policyLines({ circuit, origins }: Entry, head: RequestHead, listed: Listed): Lines {
  const hasPermits = circuit.app_mode === "interactive" && !circuit.open_to_public;
  const isOpen = !hasPermits || origins.size > 0 || listed.forAll;
  return isOpen || head.header("sec-fetch-site") === null ? NONE : OWN_PAGES;
}

/** An answer of ours, readable by who may call the circuit with credentials: for them `*` does not count. */
export function readable(answer: Answer, origin: string): Answer {
  const others = answer.headers.filter(([name]) => name.toLowerCase() !== "access-control-allow-origin");
  return { ...answer, headers: [...others, ...withCredentials(origin)] };
}

// --- internal ---

/** Where an origin leads, if it is one of this worker's. */
interface Slot {
  label: string | null;
  port: number;
}

/** Origins that are listed somewhere. */
const MAX_SLOTS = 1000;

const DEFAULT_PORTS: Record<string, number | undefined> = { "http:": 80, "https:": 443 };

const NONE: Lines = [];
const ANYBODY: Lines = [["Access-Control-Allow-Origin", "*"]];
const OWN_PAGES: Lines = [["Cross-Origin-Resource-Policy", "same-origin"]];
const VARIES: Lines = [["Vary", "Origin"]];

function withCredentials(origin: string): Lines {
  return [["Access-Control-Allow-Origin", origin], ["Access-Control-Allow-Credentials", "true"], ...VARIES];
}
