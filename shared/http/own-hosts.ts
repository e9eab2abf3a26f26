/**
 * Whether a request's `Host` names this service. A page that lets its own name lead to our address (DNS rebinding) is of our
 * origin to its browser, but its name is none of ours. Asked only where its address alone lets a caller in: all else is open
 * to everybody, or needs a secret that no page has.
 */
import { isIP } from "node:net";
import { Failure } from "../failure.ts";
import { isLoopback } from "./addresses.ts";
import { browserMark } from "./browser-marks.ts";
import { asciiHost } from "./host.ts";
import { isHost } from "./target.ts";

/** Who asks, as far as it is judged here. */
export interface Caller {
  /** The connection's other end; null when that is not known. */
  peer: string | null;
  headers: Headers;
}

/** The names of a service, beside all addresses and `localhost`. */
export interface OwnHosts {
  names: ReadonlySet<string>;
  /** The key that lists more, for messages. */
  key: string;
}

/** `hosts` may be addresses; null: not configured. */
export function ownHosts(hosts: readonly (string | null)[], key: string): OwnHosts {
  return { names: new Set(hosts.flatMap((host) => (host === null || host === "" ? [] : [canonical(host)]))), key };
}

/** Whether a `Host` names us. No name leads to an address but itself, so any will do, and so does none: browsers send one. */
export function isOwnHost(host: string | null, { names }: OwnHosts): boolean {
  if (host === null || host === "") return true;
  if (!isHost(host)) return false;
  const name = canonical(host.replace(/:\d*$/, ""));
  if (isIP(name.replace(/^\[|\]$/g, "")) !== 0) return true;
  return name === "localhost" || name.endsWith(".localhost") || names.has(name);
}

/**
 * Throws misdirected-request for a foreign `Host` of a caller on this machine, or of a browser. A program elsewhere may name us
 * as it likes, also by a name that nobody has configured: somebody has listed its address. A page's own GET over plain http has no
 * mark that the page could not leave out, but the language of its reader, which browsers put on everything, and programs of those
 * that ask here (Prometheus, curl) on nothing.
 */
export function mustNameUs({ peer, headers }: Caller, hosts: OwnHosts): void {
  const host = headers.get("host");
  if (isOwnHost(host, hosts)) return;
  if (peer !== null && !isLoopback(peer) && browserMark(headers) === null && !headers.has("accept-language")) return;
  throw new Failure(
    "misdirected-request",
    `Host: wanted an address, localhost or a name of this service (${hosts.key} lists more), got ${shown(host ?? "")}`,
  );
}

// --- internal ---

function canonical(host: string): string {
  return asciiHost(host).toLowerCase().replace(/\.$/, "");
}

function shown(host: string): string {
  return JSON.stringify(host.slice(0, 80));
}
