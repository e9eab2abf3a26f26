/** A request's head as the core reads it: over the lines as they came. */
import type { Frontend, RequestHead } from "../../seam/engine.ts";
import { withoutSpace, type FieldLines } from "../../protocols/http1/field-lines.ts";
import { persists, requestFraming, type Framing } from "../../protocols/http1/framing.ts";
import { BadHead, type RequestHead as ParsedHead, type Version } from "../../protocols/http1/head.ts";

/** What a connection knows of itself. */
export interface Arrived {
  peer: string;
  /** The address that was connected to. */
  local: string;
  tls: boolean;
  frontend: Frontend;
}

export class SocketHead implements RequestHead {
  readonly method: string;
  readonly target: string;
  readonly version: Version;
  readonly authority: string;
  readonly lines: FieldLines;
  /** What the client asks to go on with, as it came (RFC 9110 §7.8); null for nothing, and for h2c, which ends here. */
  readonly upgradeTo: string | null;
  readonly upgrade: boolean;
  /** How its body is told from what follows. */
  readonly framing: Framing;
  /** Its connection may go on. */
  readonly persists: boolean;
  readonly #via: Arrived;

  /** Throws BadHead (RFC 9112 §3.2, §6.3). */
  constructor({ method, target, version, lines }: ParsedHead, via: Arrived) {
    this.method = method;
    this.version = version;
    this.lines = lines;
    this.#via = via;
    const { framing, persists, host, offersUpgrade } = factsOf(lines, version);
    this.framing = framing;
    this.persists = persists;
    const absolute = target.startsWith("/") ? null : ABSOLUTE.exec(target);
    if (absolute === null && !isOwn(target, method)) throw new BadHead("Request target: wanted a path, or an http URL");
    this.target = absolute === null ? target : pathOf(absolute[2] ?? "", method);
    this.authority = absolute?.[1] ?? host ?? addressed(via);
    if (absolute !== null && host !== null && !isSame(this.authority, host))
      throw new BadHead("Host: wanted the host of the target");
    this.upgradeTo = offersUpgrade ? upgradeOf(lines, version, method) : null;
    this.upgrade = this.upgradeTo !== null && isForWebSocket(this.upgradeTo);
  }

  get peer(): string {
    return this.#via.peer;
  }

  get alike(): object | undefined {
    return this.lines.isKept ? this.lines : undefined;
  }

  get tls(): boolean {
    return this.#via.tls;
  }

  get frontend(): Frontend {
    return this.#via.frontend;
  }

  header(name: string): string | null {
    return this.lines.get(name.toLowerCase());
  }

  names(): Iterable<string> {
    return this.lines.names;
  }
}

// --- internal ---

/** What header lines say, whatever stands before them. */
interface Facts {
  framing: Framing;
  persists: boolean;
  host: string | null;
  /** Something else may be gone on with; not behind a body. */
  offersUpgrade: boolean;
}

/** Of lines that are kept, and of HTTP/1.1. */
const known = new WeakMap<FieldLines, Facts>();

/** Throws BadHead. */
function factsOf(lines: FieldLines, version: Version): Facts {
  const isKept = lines.isKept && version === "1.1";
  const before = isKept ? known.get(lines) : undefined;
  if (before !== undefined) return before;
  const framing = requestFraming({ version, lines });
  const hasBody = framing.kind === "chunked" || (framing.kind === "length" && framing.length > 0);
  const host = hostOf(lines, version);
  const offersUpgrade = !hasBody && lines.count("upgrade") > 0;
  const facts = { framing, persists: persists({ version, lines }), host, offersUpgrade };
  if (isKept) known.set(lines, facts);
  return facts;
}

/** RFC 9112 §3.2.2: what a client says to a proxy. */
const ABSOLUTE = /^https?:\/\/([^/?#]*)([/?].*)?$/i;

/** RFC 9112 §3.2.1, §3.2.3, §3.2.4. */
function isOwn(target: string, method: string): boolean {
  if (method === "CONNECT") return true;
  return target.startsWith("/") || (target === "*" && method === "OPTIONS");
}

/** RFC 9112 §3.2.1, §3.2.4: an empty path is "/", and of OPTIONS "*". */
function pathOf(rest: string, method: string): string {
  if (rest === "" && method === "OPTIONS") return "*";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** The names of a list of protocols (RFC 9110 §7.8), in lower case. */
export function offered(protocols: string): string[] {
  return protocols
    .toLowerCase()
    .split(",")
    .map((one) => withoutSpace(one));
}

/** HTTP/1.0 needs no Host: the port says what is meant. */
function addressed({ local, frontend }: Arrived): string {
  if (frontend.mode === "wildcard") return "";
  return `${local.includes(":") ? `[${local}]` : local}:${frontend.port}`;
}

/** RFC 9112 §3.2: one line; none only in HTTP/1.0. */
function hostOf(lines: FieldLines, version: Version): string | null {
  const hosts = lines.count("host");
  if (hosts > 1) throw new BadHead("Host: wanted one line");
  if (hosts === 0 && version === "1.1") throw new BadHead("Host: wanted one, got none");
  return lines.get("host");
}

function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** RFC 9110 §7.8: an offer may be passed over: of a WebSocket, by another method than GET (RFC 6455 §4.1). */
function upgradeOf(lines: FieldLines, version: Version, method: string): string | null {
  const wanted = lines.get("upgrade");
  if (wanted === null || version === "1.0" || /\bh2c\b/i.test(wanted)) return null;
  if (isForWebSocket(wanted) && method !== "GET") return null;
  return offered(lines.get("connection") ?? "").includes("upgrade") ? wanted : null;
}

/** The app may choose any that is offered. */
function isForWebSocket(offer: string): boolean {
  return offered(offer).includes("websocket");
}
