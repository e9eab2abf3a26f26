/**
 * The permits that a browser holds for one host. In port mode it sends those of all circuits, of all workers on the host,
 * to every server there, so they must not pile up: what is over is expired with the next answer that sets a permit, and
 * at most 24 stay. Asked at setup, at entry and when a permit is renewed, never for a plain request.
 */
import {
  circuitOfCookie,
  expiryLine,
  permitCookieName,
  permitLine,
  type CookieRules,
  type PermitRules,
} from "./permit-cookie.ts";
import { issueOf, type PermitAuthority } from "./permit.ts";
import type { Table } from "../circuits/table.ts";

export interface JarDeps {
  cookie: CookieRules;
  permits: PermitAuthority;
  table: Pick<Table, "beginning">;
  /** Whether the table has every circuit of this worker, as far as anybody can tell. */
  complete: () => boolean;
  /** Epoch milliseconds. */
  now: () => number;
}

export interface PermitJar {
  /** The `Set-Cookie` lines that expire what has to go of a `Cookie` header. The permit named `keep` stays. */
  tidy(header: string | null, keep: string): [string, string][];
}

/** So many permits of 85 bytes are a quarter of the 8 KiB that nginx and aiohttp take. */
export const MAX_PERMITS = 24;
/** Seconds in which a circuit may be known to another node of this worker only. */
const GRACE = 60;

export function createPermitJar(deps: JarDeps): PermitJar {
  return {
    tidy(header, keep) {
      const held = heldIn(header, keep);
      if (held.length === 0) return [];
      const left = living(held, deps);
      // Whose worker issued it is no matter here: the limit is the host's, and the longest unused goes wherever it leads.
      // A name may come more than once, with other paths: the best of them says what becomes of it.
      const names = left.toSorted((a, b) => b.usedAt - a.usedAt).map(({ name }) => name);
      const stay = new Set([...new Set(names)].slice(0, MAX_PERMITS - 1));
      const gone = new Set(held.map(({ name }) => name).filter((name) => !stay.has(name)));
      return [...gone].map((name) => expiryLine(name, deps.cookie));
    },
  };
}

/** Sets a new permit, and expires what has to go of the request's cookies beside it. */
export function freshPermit(
  uid: string,
  cid: string,
  cookies: string | null,
  rules: PermitRules & { jar: PermitJar },
): [string, string][] {
  return [permitLine(uid, cid, rules), ...rules.jar.tidy(cookies, permitCookieName(cid, rules.secure))];
}

// --- internal ---

interface Held {
  name: string;
  /** The first digits of its circuit's id. */
  circuit: string;
  value: string;
}

interface Living extends Held {
  /** Epoch seconds. A permit in use is renewed, so its issue tells of its use, as far as this worker has nothing open. */
  usedAt: number;
}

function heldIn(header: string | null, keep: string): Held[] {
  if (header?.includes("appproxy_permit_") !== true) return [];
  return header.split(";").flatMap((pair) => {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at).trim();
    const circuit = at === -1 || name === keep ? null : circuitOfCookie(name);
    return circuit === null ? [] : [{ name, circuit, value: pair.slice(at + 1).trim() }];
  });
}

/** Without the permits that are good for nothing any more. Of another worker's circuits nothing is known but the time. */
function living(held: Held[], { permits, table, complete, now }: JarDeps): Living[] {
  const at = now() / 1000;
  const known = table.beginning(new Set(held.map(({ circuit }) => circuit)));
  const isComplete = complete();
  return held.flatMap((one) => {
    const stamp = issueOf(one.value);
    // A form that a newer version writes: nothing is known of it, and it is the first to go when there are too many.
    if (stamp === null) return [{ ...one, usedAt: 0 }];
    const isMine = permits.isOwn(stamp);
    const isGone = isMine && isComplete && !known.has(one.circuit) && at - stamp.iat > GRACE;
    if (isGone || stamp.exp <= at) return [];
    return [{ ...one, usedAt: usedAt(stamp.iat, at, isMine && known.get(one.circuit) === true) }];
  });
}

/**
 * Any app of the host can put cookies of such names into the browser: what claims to be of the future is as good as unreadable,
 * and nothing that only claims stands before what this worker knows.
 */
function usedAt(issued: number, at: number, isOpen: boolean): number {
  if (isOpen) return Number.POSITIVE_INFINITY;
  return issued - at > GRACE ? 0 : Math.min(issued, at);
}
