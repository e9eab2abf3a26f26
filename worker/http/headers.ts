/**
 * Header rules between client and app (dataplane H4–H6, security 2). Pure: the head in, its changes out.
 */
import type { HeaderEdits, RequestHead } from "../seam/engine.ts";

/** The header line by which core/loops.ts knows a request again. */
export const HOP = "x-appproxy-hop";

/** RFC 9110 §7.6.1: these speak about one connection only; framing is the engine's own. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]);

/** Where the WebSocket handshake is made anew towards the app. */
const HANDSHAKE = new Set([
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-extensions",
  "sec-websocket-accept",
]);

/**
 * What says where a request comes from: said anew, or not at all. `Proxy` is nobody's (httpoxy: CGI reads it as HTTP_PROXY).
 */
const WAY = new Set<string>([
  "x-real-ip",
  "x-scheme",
  "x-url-scheme",
  "x-forwarded-scheme",
  "x-forwarded-protocol",
  "x-forwarded-ssl",
  "front-end-https",
  "proxy",
  HOP,
]);

/** Such as X-Forwarded-Prefix or -User: apps take them for the word of a proxy, which a client is not. */
const FORWARDED = /^x-forwarded(-|$)/;

/** A name with another character than these: to CGI and WSGI `_` is as good as `-`, to PHP `.` too, to others any. */
const UNUSUAL = /[^a-z0-9-]/;
/** Names that would pass for these, so read, are nobody's. */
const FOLDED = /^(x-forwarded(-|$)|forwarded$|x-rstudio-|sec-)/;

/** Every cookie whose name starts so is ours and never reaches an app. */
// With leading `=` too: a browser sends a nameless `=appproxy_permit_x=…` back as a cookie of that name.
const OUR_COOKIE = /^[\s=]*(__Host-)?appproxy_permit/;

const HEAD_ONLY = new Set([
  "authorization",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "expect",
  "host",
  "location",
  "origin",
  "set-cookie",
  "set-cookie2",
  "www-authenticate",
]);

export interface ForwardedBy {
  /** The client as the world should know it, and the chain of proxies before us that are trusted. */
  chain: string[];
  proto: string;
  /** One host, perhaps with its port, as `isHost` has it: it goes into header lines as it is. */
  host: string;
  /** Who wrote the head is a proxy that is believed: what else it says of the way is the app's to read. */
  isTrusted: boolean;
}

/** What the edits of a request depend on beside its head. */
export interface RequestWishes {
  /** The circuit's app name. */
  app: string;
  /** Whether the `Authorization` header is the app's. */
  authorization: boolean;
  /** Whether trailers of the answer reach the client. */
  trailers: boolean;
  /** Whether the handshake of a WebSocket is the client's own, not made anew. */
  tunnels: boolean;
}

/** What changes in the header lines on their way to the app. */
export function requestEdits(head: RequestHead, by: ForwardedBy, wishes: RequestWishes): HeaderEdits {
  const { app, authorization, trailers, tunnels } = wishes;
  const dropped = connectionNamed(head.header("connection"));
  const remove: string[] = [];
  const set = forwardedHeaders(by);
  for (const name of head.names()) {
    const lower = name.toLowerCase();
    if (isNobodys(lower, by, set) || dropped?.has(lower) === true) remove.push(lower);
    else if (lower === "authorization" && !authorization) remove.push(lower);
    else if (isMadeAnew(lower, head, tunnels)) remove.push(lower);
  }
  const cookie = head.header("cookie");
  if (cookie !== null) {
    const cookies = withoutOurCookies(cookie);
    if (cookies === "") remove.push("cookie");
    else if (cookies !== cookie) set.push(["Cookie", cookies]);
  }
  // RFC 9110 §10.1.4: asked anew of the app, for gRPC. An engine that speaks HTTP/1.1 to it names TE in Connection.
  if (trailers && wantsTrailers(head.header("te"))) set.push(["TE", "trailers"]);
  if (app === "rstudio") set.push(...rstudioHeaders(head.target, by));
  return { remove, set, add: NOTHING };
}

/** The names of an answer's headers that end here: hop-by-hop ones, and all that its `Connection` names. */
export function endsHere(connection: string | null): (name: string) => boolean {
  const dropped = connectionNamed(connection);
  return (name) => isHopByHop(name) || dropped?.has(name) === true;
}

/**
 * Whether a field may stand in trailers, whoever sends them (RFC 9110 §6.5.1): what frames, routes, lets in or says where a
 * request comes from counts in the head alone, and a reader that joins both must not find it here.
 */
export function mayTrail(lower: string): boolean {
  const name = folded(lower);
  return !isHopByHop(name) && !WAY.has(name) && !FOLDED.test(name) && !HEAD_ONLY.has(name);
}

/** Cuts our permits out of a `Cookie` value; the others keep their bytes and order. */
export function withoutOurCookies(value: string): string {
  if (!value.includes("appproxy_permit")) return value;
  return value
    .split(";")
    .filter((pair) => !OUR_COOKIE.test(pair))
    .join(";")
    .trimStart();
}

/** An app can't set our permit, nor a cookie that reaches other circuits: the first is dropped, the second kept to its host. */
export function guardSetCookie(line: string): string | null {
  if (OUR_COOKIE.test(line)) return null;
  return /;\s*domain\s*=/i.test(line) ? line.replace(/;\s*domain\s*=[^;]*/gi, "") : line;
}

// --- internal ---

const NOTHING: HeaderEdits["add"] = [];

/** Whoever wrote it, no app is to read it as it came. */
function isNobodys(lower: string, by: ForwardedBy, set: HeaderEdits["set"]): boolean {
  return isOurs(lower) || isInvented(lower, by, set);
}

/** Hop-by-hop, or a word on the way that is ours to give: never passed as it came. */
function isOurs(lower: string): boolean {
  return isHopByHop(lower) || WAY.has(lower) || (UNUSUAL.test(lower) && isDisguised(lower));
}

/** A word on the way of a client that nobody vouches for. Those that are said anew are replaced where they stand. */
function isInvented(lower: string, { isTrusted }: ForwardedBy, set: HeaderEdits["set"]): boolean {
  return !isTrusted && FORWARDED.test(lower) && !set.some(([name]) => name.toLowerCase() === lower);
}

function isMadeAnew(lower: string, { upgrade }: RequestHead, tunnels: boolean): boolean {
  return upgrade && !tunnels && HANDSHAKE.has(lower);
}

function wantsTrailers(te: string | null): boolean {
  return te !== null && te.split(",").some((one) => one.trim().toLowerCase() === "trailers");
}

function isHopByHop(lower: string): boolean {
  return HOP_BY_HOP.has(lower) || lower.startsWith("proxy-");
}

function isDisguised(lower: string): boolean {
  const name = folded(lower);
  return WAY.has(name) || isHopByHop(name) || FOLDED.test(name);
}

function folded(lower: string): string {
  return lower.replace(/[^a-z0-9]/g, "-");
}

function connectionNamed(connection: string | null): Set<string> | null {
  if (connection === null) return null;
  // No pattern: one with `\s*` at both ends takes seconds for a long value that an app or a client sends on purpose.
  const only = connection.trim().toLowerCase();
  if (only === "" || only === "keep-alive" || only === "close" || only === "upgrade") return null;
  const named = new Set(connection.split(",").map((name) => name.trim().toLowerCase()));
  // No connection may take these from the message.
  for (const name of ["host", "content-length", "cookie"]) named.delete(name);
  return named;
}

/**
 * `host=H:P` is unquoted, though RFC 7239 §4 wants quotes around a colon: code-server compares what stands there with the
 * Origin, quotes and all, and the original sends none. It comes last: aiohttp reads four digits of a port and passes over
 * what follows a fifth. IPv6 in brackets is unreadable without quotes.
 */
function forwardedHeaders({ chain, proto, host }: ForwardedBy): [string, string][] {
  const port = /:(\d+)$/.exec(host)?.[1] ?? (proto === "https" ? "443" : "80");
  const elements = chain.map((address) => `for=${node(address)}`);
  elements[elements.length - 1] += `;proto=${proto};host=${host.startsWith("[") ? `"${host}"` : host}`;
  return [
    ["X-Forwarded-For", chain.join(", ")],
    ["X-Forwarded-Proto", proto],
    ["X-Forwarded-Host", host],
    ["X-Forwarded-Port", port],
    ["Forwarded", elements.join(", ")],
  ];
}

/** RFC 7239 §6: IPv6 addresses are bracketed and quoted. */
function node(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}

function rstudioHeaders(target: string, { proto, host }: ForwardedBy): [string, string][] {
  const path = target.split("?", 1)[0] ?? "/";
  return [
    ["X-RStudio-Proto", proto],
    ["X-RStudio-Request", `${proto}://${host}${path}`],
  ];
}
