/** A case as the bytes that are sent. */
import { MARK } from "./counter.ts";
import type { Knocked } from "./circuits.ts";
import type { Case } from "./rules.ts";
import type { Request } from "./speak.ts";

export interface Marked extends Case {
  mark: string;
  /** A person looks at the answer. */
  isPage: boolean;
}

type Lines = [name: string, value: string][];

export function requestOf(one: Marked, { to, door }: Knocked, secure: boolean): Request {
  const { method, protocol, credential, mark, isPage } = one;
  const version = protocol.endsWith("HTTP/1.0") ? "1.0" : "1.1";
  const target = method === "CONNECT" ? to.host : `/case?${credential.query?.(door) ?? ""}`;
  const body = BODIES.has(method) ? "a body" : "";
  const lines: Lines = [
    ["Host", to.host],
    [MARK, mark],
    ...credential.lines(door),
    ...siteLines(one, to.host, secure),
    ...upgradeLines(protocol),
    ...(isPage ? [["Accept", "text/html"]] as Lines : []),
    ...(body === "" ? [] : [["Content-Length", String(body.length)]] as Lines),
  ]; // prettier-ignore
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return { method, bytes: `${method} ${target} HTTP/${version}\r\n${head}\r\n${body}` };
}

// --- internal ---

const BODIES: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH", "QUERY"]);

function siteLines({ site }: Case, host: string, secure: boolean): Lines {
  const own = `${secure ? "https" : "http"}://${host}`;
  switch (site.name) {
    case "a program":
      return [];
    case "the circuit's page":
      return [["Origin", own]];
    case "the circuit's page, with a Referrer-Policy":
      return [["Origin", "null"], ["Sec-Fetch-Site", "same-origin"]]; // prettier-ignore
    case "another site's page":
      return [["Origin", "http://evil.example"]];
    case "another port's page":
      return [["Origin", own.replace(/\d+$/, "1")]];
    case "a page of another site in a browser that says so":
      return [["Origin", own], ["Sec-Fetch-Site", "cross-site"]]; // prettier-ignore
  }
}

function upgradeLines(protocol: Case["protocol"]): Lines {
  if (protocol.startsWith("WebSocket"))
    return [
      ["Connection", "Upgrade"],
      ["Upgrade", "websocket"],
      ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ];
  return protocol === "another protocol's upgrade" ? [["Connection", "Upgrade"], ["Upgrade", "tunnel/1"]] : []; // prettier-ignore
}
