/**
 * Requests that come back to us through their own app, as when an app proxies to the address under which it is reached
 * itself, or two of them to each other: each would make another one until nothing is left for anybody. What comes from where apps
 * are may be one of them, while a circuit has many open: it carries a number from one pass to the next. Others never see it.
 */
import { Failure } from "../../shared/failure.ts";
import { HOP } from "../http/headers.ts";
import type { RequestHead } from "../seam/engine.ts";
import type { Entry } from "../circuits/table.ts";
import { wasDialled } from "../net/dialled.ts";

/** An app that calls itself for good reasons does not do so this often at once. */
const SUSPICIOUS = 64;
/** Passes with a number. */
const MOST_HOPS = 8;

/** The number that a request gets on its way to the app; null for none. Throws appproxy/loop when it is too high. */
export function nextHop({ pool }: Entry, head: Pick<RequestHead, "header">, client: string): number | null {
  const before = head.header(HOP);
  if (before !== null) {
    const hop = /^[1-9]$/.test(before) ? Number(before) : 0;
    if (hop >= MOST_HOPS)
      throw new Failure("appproxy/loop", "The app has asked itself through the app proxy, again and again");
    return hop + 1;
  }
  return wasDialled(client) && pool.open >= SUSPICIOUS ? 1 : null;
}
