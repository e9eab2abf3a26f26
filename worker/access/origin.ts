/**
 * Where a request comes from (security 5): a cookie is sent along by any page of the same site, such as another app's, so what
 * changes things, or is read into a page, must come from the circuit's own pages. Called by authorize.ts.
 */
import { Failure } from "../../shared/failure.ts";
import { originOf } from "../../shared/http/home.ts";
import type { Client } from "../http/client-address.ts";
import type { RequestHead } from "../seam/engine.ts";

/** What the circuit's own pages are told by, beside what the request says. */
export interface Own {
  /** Where browsers find the circuit: a proxy in front may change the `Host` that we see. */
  origin: string;
  /** Whether pages of this origin may come too, because somebody has asked for it. */
  lists: (origin: string) => boolean;
}

/**
 * Throws for what another origin's page asks, unless a person goes to the app by it. `Sec-Fetch-Site` decides where a browser
 * sends it: no page can set it, and it tells a page with `Referrer-Policy: no-referrer`, whose forms have `Origin: null`, from a
 * stranger. Measured with Chromium 156: it is there on https and on loopback, stays after a reload, and is lost (same-site or
 * cross-site) with the first redirect over another origin; never on a WebSocket's handshake, nor on plain http elsewhere. There
 * Origin decides.
 */
export function checkOrigin(head: RequestHead, client: Client, own: () => Own): void {
  const isSafe = SAFE.has(head.method) && !asksForUpgrade(head);
  if (isSafe && !isPartOfPage(head)) return;
  const site = head.header("sec-fetch-site");
  if (site === "same-origin" || site === "none") return;
  const told = head.header("origin");
  const origin = isSafe ? loaderOf(head) : told;
  if (origin === null && site === null) return;
  // Its own image or script may come by way of another origin, which costs it its Sec-Fetch-Site; nobody else has its Referer.
  const mayBeOwn = site === null || (isSafe && told === null);
  if (!isWelcome(origin, mayBeOwn, client, own)) throw refused(origin, site, client, own().origin);
}

// --- internal ---

/** RFC 9110 §9.2.1, less TRACE. */
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** To any protocol: an engine may pass more than WebSockets on. No page can ask for another one, but not all that ask are pages. */
function asksForUpgrade(head: RequestHead): boolean {
  return head.upgrade || head.header("upgrade") !== null;
}

/**
 * Whether a page loads it into itself, where browsers say so: images, scripts, style sheets, fetches. A page of the same site gets
 * the permit along with these, and reads what no CORS keeps it from: another app's scripts run in it, its style sheets apply.
 * What a person goes to is a navigation, in a frame too.
 */
function isPartOfPage(head: RequestHead): boolean {
  const mode = head.header("sec-fetch-mode");
  // Of a frame, as Chromium 76 to 79 said.
  return mode !== null && mode !== "navigate" && mode !== "nested-navigate";
}

/** Whether pages of this origin may come: the circuit's own, where that is what decides, and listed ones. */
function isWelcome(origin: string | null, mayBeOwn: boolean, client: Client, own: () => Own): boolean {
  if (origin === null) return false;
  if (mayBeOwn && isOf(origin, client)) return true;
  const { origin: wanted, lists } = own();
  return (mayBeOwn && origin === wanted) || lists(origin);
}

/** The origin of such a page. Images, scripts and the like are asked for without Origin. */
function loaderOf(head: RequestHead): string | null {
  const origin = head.header("origin");
  // A page without an origin (`null`) is not the one that its frame is in.
  return originOf(origin, origin === null ? head.header("referer") : null);
}

/**
 * Where TLS is known of, a page without it is another one: whoever sits in the line can write it. Where it is not, it may
 * end before us, unsaid.
 */
function isOf(origin: string, { proto, host }: Client): boolean {
  if (!URL.canParse(origin)) return false;
  const theirs = new URL(origin);
  if (theirs.protocol !== "https:" && (theirs.protocol !== "http:" || proto === "https")) return false;
  // URL drops a default port; the Host header may name it.
  return URL.canParse(`${theirs.protocol}//${host}`) && new URL(`${theirs.protocol}//${host}`).host === theirs.host;
}

function refused(origin: string | null, site: string | null, client: Client, wanted: string): Failure {
  return new Failure("generic-forbidden", {
    msg: "Origin: wanted the circuit's own",
    page: "other-site",
    cause: new Error(
      `got ${shown(origin)}${site === null ? "" : ` with Sec-Fetch-Site: ${SITES.includes(site) ? JSON.stringify(site) : "what is none"}`}, ` +
        `wanted ${client.proto}://${client.host}${sameAs(wanted, client) ? "" : ` or ${wanted}`}`,
    ),
  });
}

function sameAs(wanted: string, { proto, host }: Client): boolean {
  return wanted === `${proto}://${host}`;
}

/** For the log: what a stranger sends may be anything, and only an origin is told. */
function shown(origin: string | null): string {
  if (origin === null) return "none";
  if (origin === "null") return '"null"';
  const [url] = URL.canParse(origin) ? [new URL(origin)] : [];
  const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
  return isWeb ? JSON.stringify(url.origin.slice(0, 200)) : "what is no origin";
}

/** Fetch Metadata: there are no others. */
const SITES = ["same-origin", "same-site", "cross-site", "none"];
