/** Who the client is: the peer, or what a trusted load balancer says it is. Pure. */
import ipaddr from "ipaddr.js";
import type { AddressMatcher } from "../shared/addresses.ts";
import { isHost } from "../shared/target.ts";
import type { RequestHead } from "./engine/engine.ts";
import type { ForwardedBy } from "./headers.ts";

export interface Client extends ForwardedBy {
  /** Without IPv4 mapping, for address lists. */
  address: string;
}

/** Reads the client from the connection; forwarding headers count only when the peer is trusted. */
export function clientOf(head: Pick<RequestHead, "peer" | "tls" | "header">, trusted: AddressMatcher): Client {
  const peer = plainAddress(head.peer);
  const host = head.header("host") ?? "";
  const own = { proto: head.tls ? "https" : "http", host };
  if (!trusted(peer)) return { ...own, address: peer, chain: [peer] };
  const before = readableChain(head.header("x-forwarded-for") ?? "");
  // Right-most address that is not a trusted proxy: all left of it may be invented.
  const address = before.findLast((entry) => !trusted(entry)) ?? before[0] ?? peer;
  const proto = head.header("x-forwarded-proto")?.toLowerCase();
  const named = head.header("x-forwarded-host") ?? "";
  return {
    address,
    chain: [...before, peer],
    proto: proto === "https" || proto === "http" ? proto : own.proto,
    host: isHost(named) ? named : host,
  };
}

/** An address without IPv4 mapping. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && ipaddr.isValid(address) ? ipaddr.process(address).toString() : address;
}

// --- internal ---

/**
 * The addresses of a chain from the right up to the first entry that is none: whatever stands left of that
 * was not written by anybody who can be trusted to have read it.
 */
function readableChain(header: string): string[] {
  const chain: string[] = [];
  for (const entry of header.split(",").toReversed()) {
    const address = plainAddress(withoutPort(entry.trim()));
    if (!ipaddr.isValid(address)) break;
    chain.unshift(address);
  }
  return chain;
}

/** Some load balancers append the client's port: `203.0.113.7:5555`, `[2001:db8::1]:5555`. */
function withoutPort(entry: string): string {
  return /^\[([^\]]*)\](?::\d+)?$/.exec(entry)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(entry)?.[1] ?? entry;
}
