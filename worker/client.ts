/** Who the client is: the peer, or what a trusted load balancer says it is. Pure. */
import ipaddr from "ipaddr.js";
import type { AddressMatcher } from "../shared/addresses.ts";
import type { RequestHead } from "./engine/engine.ts";
import type { ForwardedBy } from "./headers.ts";

export interface Client extends ForwardedBy {
  /** Without IPv4 mapping, for address lists. */
  address: string;
}

/** Reads the client from the connection; forwarding headers count only when the peer is trusted. */
export function clientOf(head: RequestHead, trusted: AddressMatcher): Client {
  const peer = plain(head.peer);
  const host = head.header("host") ?? "";
  const own = { proto: head.tls ? "https" : "http", host };
  if (!trusted(peer)) return { ...own, address: peer, chain: [peer] };
  const before = (head.header("x-forwarded-for") ?? "")
    .split(",")
    .map((entry) => plain(entry.trim()))
    .filter((entry) => ipaddr.isValid(entry));
  // Right-most address that is not a trusted proxy: all left of it may be invented.
  const address = before.findLast((entry) => !trusted(entry)) ?? before[0] ?? peer;
  const proto = head.header("x-forwarded-proto")?.toLowerCase();
  return {
    address,
    chain: [...before, peer],
    proto: proto === "https" || proto === "http" ? proto : own.proto,
    host: head.header("x-forwarded-host") ?? host,
  };
}

// --- internal ---

function plain(address: string): string {
  return address.startsWith("::ffff:") && ipaddr.isValid(address) ? ipaddr.process(address).toString() : address;
}
