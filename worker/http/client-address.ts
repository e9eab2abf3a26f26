/** Who the client is and where it thinks that it is: the peer and its `Host`, or what a trusted load balancer says. Pure. */
import ipaddr from "ipaddr.js";
import type { AddressMatcher } from "../../shared/http/addresses.ts";
import { isHost } from "../../shared/http/target.ts";
import type { RequestHead } from "../seam/engine.ts";
import type { ForwardedBy } from "./headers.ts";

export interface Client extends ForwardedBy {
  /** Without IPv4 mapping, for address lists. */
  address: string;
}

/** What a worker knows of the proxies in front of it. */
export interface Proxies {
  /** Load balancers whose X-Forwarded-… is believed. */
  trusted: AddressMatcher;
  /** Browsers come with TLS, though it may end before us: what holds where nobody who is believed says otherwise. */
  secure: boolean;
}

type Said = Pick<RequestHead, "authority" | "peer" | "tls" | "header">;

/**
 * Reads the client from the connection; forwarding headers count only when the peer is trusted. A peer that a PROXY header
 * tells is trusted by its own address too, not by that of the proxy, which passes on whatever it wrote (security 17).
 */
export function clientOf(head: Said, { trusted, secure }: Proxies): Client {
  const peer = plainAddress(head.peer);
  const host = head.authority;
  const proto = head.tls || secure ? "https" : "http";
  if (!trusted(peer)) return { proto, host, address: peer, chain: [peer], isTrusted: false };
  const before = readableChain(head.header("x-forwarded-for") ?? "");
  const told = PROTOS.get(first(head.header("x-forwarded-proto")).toLowerCase()) ?? proto;
  return {
    // Right-most address that is not a trusted proxy: all left of it may be invented.
    address: before.findLast((entry) => !trusted(entry)) ?? before[0] ?? peer,
    chain: [...before, peer],
    proto: told,
    host: forwardedHost(head, host, told),
    isTrusted: true,
  };
}

/**
 * The host with the port that a proxy on the way has dropped from it (nginx's `$host`): browsers name it in `Origin`, and apps
 * compare that with the host they are told. `origin` is where browsers find the circuit.
 */
export function withPort(host: string, origin: string): string {
  const advertised = origin.slice(origin.indexOf("//") + 2);
  return advertised.length > host.length && advertised.startsWith(`${host.toLowerCase()}:`)
    ? host + advertised.slice(host.length)
    : host;
}

/** A host without a port: the one of a scheme, or dropped. */
export function hasNoPort(host: string): boolean {
  return host.lastIndexOf(":") <= host.lastIndexOf("]");
}

/** An address without IPv4 mapping. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && ipaddr.isValid(address) ? ipaddr.process(address).toString() : address;
}

// --- internal ---

/** Some proxies name the scheme of a WebSocket. */
const PROTOS: ReadonlyMap<string, string> = new Map([
  ["http", "http"],
  ["https", "https"],
  ["ws", "http"],
  ["wss", "https"],
]);

/** Each proxy of a chain may add its own behind what it was told: the first is what the browser sees. */
function first(list: string | null): string {
  return (list ?? "").split(",", 1)[0]?.trim() ?? "";
}

function forwardedHost(head: Said, own: string, proto: string): string {
  const named = first(head.header("x-forwarded-host"));
  const host = isHost(named) ? named : own;
  const port = first(head.header("x-forwarded-port"));
  const isMissing = hasNoPort(host) && /^\d{1,5}$/.test(port) && Number(port) !== (proto === "https" ? 443 : 80);
  return isMissing && Number(port) > 0 && Number(port) < 65_536 ? `${host}:${Number(port)}` : host;
}

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
