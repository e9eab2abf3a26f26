/**
 * What has to become of a request, written from the rules and not from the code: docs/security.md, the lines of the contract on
 * methods (dataplane H1, H12, H13, W2), and the codes of wire 3. Pure.
 */
import type { Kind } from "./circuits.ts";
import type { Credential, TokenWorth } from "./door.ts";

export const METHODS = [
  "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "BREW",
] as const; // prettier-ignore

export const PROTOCOLS = [
  "HTTP/1.1",
  "HTTP/1.0",
  "behind another request",
  "WebSocket",
  "WebSocket over HTTP/1.0",
  "another protocol's upgrade",
] as const;

/** Where a browser says that the request comes from; `isOwn`: from the circuit's own page, or from no page. */
export const SITES = [
  { name: "a program", isOwn: true },
  { name: "the circuit's page", isOwn: true },
  { name: "the circuit's page, with a Referrer-Policy", isOwn: true },
  { name: "another site's page", isOwn: false },
  { name: "another port's page", isOwn: false },
  { name: "a page of another site in a browser that says so", isOwn: false },
] as const;

export interface Case {
  method: (typeof METHODS)[number];
  protocol: (typeof PROTOCOLS)[number];
  kind: Kind;
  credential: Credential;
  site: (typeof SITES)[number];
}

export type Verdict =
  /** It reaches the app, once. */
  | { kind: "let in" }
  /** It reaches nobody. All of a kind, `like`, have one answer. */
  | { kind: "refused"; status: number; says: string | null; like: string | null }
  /** It reaches nobody, and the connection ends without an answer. */
  | { kind: "closed" }
  | { kind: "no connection" };

interface Where {
  frontend: "port" | "wildcard";
  /** Whether the engine knows the method: what one can't do is a deviation of its own. */
  knows: (method: string) => boolean;
}

/** The verdict of the rules. */
export function verdictOf({ method, protocol, kind, credential, site }: Case, { frontend, knows }: Where): Verdict {
  // dataplane F1: a port listens only while it carries a circuit.
  if (kind.state === "ended" && frontend === "port") return { kind: "no connection" };
  if (!knows(method)) return { kind: "closed" };
  // dataplane H12.
  if (method === "CONNECT" || method === "TRACE") return refused(405, `${method} is not proxied`, method);
  if (kind.state === "ended") return refused(404, "E20009: Subdomain", `ended ${kind.name}`);
  // The address list comes before the credential.
  if (!kind.listed) return refused(403, "E20011", "address");
  if (kind.wants === "permit") {
    // security 3: bound to one person. Where there is none, there is no permit.
    const worth = kind.owned || credential.permit === "none" ? credential.permit : "bad";
    if (worth === "none") return refused(401, "E20004: Authorization cookie not provided", "no permit");
    if (worth === "bad") return refused(401, "E20005: Invalid authorization cookie", "bad permit");
    // security 5.
    const isUpgrade = protocol.startsWith("WebSocket") || protocol === "another protocol's upgrade";
    const isSafe = !isUpgrade && ["GET", "HEAD", "OPTIONS"].includes(method);
    if (!isSafe && !site.isOwn) return refused(403, "Origin: wanted the circuit's own", "another site");
  }
  if (kind.wants === "token" && credential.token !== "good") {
    const like = credential.token === "scheme" ? credential.name : `${credential.token} token`;
    return refused(401, TOKEN_CODES[credential.token], like);
  }
  return kind.state === "without a kernel" ? refused(503, null, null) : { kind: "let in" };
}

// --- internal ---

/** wire 3. */
const TOKEN_CODES: Record<Exclude<TokenWorth, "good">, string> = {
  none: "E20006: Authorization header not provided",
  scheme: "E20007: Unsupported authorization method",
  formless: "E20008: Invalid authorization token",
  forged: "E20008: Invalid authorization token",
  expired: "E20008: Invalid authorization token",
  endless: "E20008: Invalid authorization token",
  "another's": "E20009: Authorization token mismatch",
};

function refused(status: number, says: string | null, like: string | null): Verdict {
  return { kind: "refused", status, says, like };
}
