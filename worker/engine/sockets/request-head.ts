/** A request's head as the core reads it: over the lines as they came. */
import type { Frontend, RequestHead } from "../../seam/engine.ts";
import type { FieldLines } from "../../protocols/http1/field-lines.ts";
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
  readonly #via: Arrived;

  /** Throws BadHead (RFC 9112 §3.2). */
  constructor({ method, target, version, lines }: ParsedHead, via: Arrived) {
    this.method = method;
    this.version = version;
    this.lines = lines;
    this.#via = via;
    const hosts = lines.count("host");
    if (hosts > 1) throw new BadHead("Host: wanted one line");
    if (hosts === 0 && version === "1.1") throw new BadHead("Host: wanted one, got none");
    const host = lines.get("host");
    const absolute = ABSOLUTE.exec(target);
    this.target = absolute === null ? target : (absolute[2] ?? "") || "/";
    this.authority = absolute?.[1] ?? host ?? addressed(via);
    if (absolute !== null && host !== null && !isSame(this.authority, host))
      throw new BadHead("Host: wanted the host of the target");
    this.upgradeTo = upgradeOf(lines, version);
    this.upgrade = method === "GET" && this.upgradeTo?.toLowerCase() === "websocket";
  }

  get peer(): string {
    return this.#via.peer;
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

/** RFC 9112 §3.2.2: what a client says to a proxy. */
const ABSOLUTE = /^https?:\/\/([^/?#]*)([/?].*)?$/i;

/** HTTP/1.0 needs no Host: the port says what is meant. */
function addressed({ local, frontend }: Arrived): string {
  if (frontend.mode === "wildcard") return "";
  return `${local.includes(":") ? `[${local}]` : local}:${frontend.port}`;
}

function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

function upgradeOf(lines: FieldLines, version: Version): string | null {
  const wanted = lines.get("upgrade");
  if (wanted === null || version === "1.0" || /\bh2c\b/i.test(wanted)) return null;
  const options = lines.get("connection")?.toLowerCase() ?? "";
  return options.split(",").some((option) => option.trim() === "upgrade") ? wanted : null;
}
