/**
 * What of an app's answer headers reaches further than its circuit, and so does not pass, or not as it is. A browser keeps
 * these for a whole host or site, or for the next one who gets the slot. In port mode the other ports of the host are
 * other people's circuits, perhaps the platform; in wildcard mode the host is the circuit's own. Looked up by name for
 * each header of an answer; nothing else happens where none of them is there.
 */
import type { AnswerRules } from "./answer-edits.ts";

/** RFC 9110 §5.5: a list. Quoted strings of these headers have no commas that matter: an element cut in two is no directive. */
const listed = (value: string): string[] => value.split(",").map((one) => one.trim());
const drop = (): null => null;

/**
 * "cookies" clears those of the whole registrable domain, whatever the port: of all circuits and of the platform (Chromium
 * 156 does, and with them the permit in the same answer). "*" is all directives, known and to come: what it is now, but that.
 */
function ownSiteData(value: string): string | null {
  const wanted = new Set(listed(value).flatMap((one) => (one === '"*"' ? ORIGIN_DATA : [one])));
  const passed = ORIGIN_DATA.filter((one) => wanted.has(one));
  return passed.length === 0 ? null : passed.join(", ");
}

/** Of Clear-Site-Data, what concerns one origin alone. */
const ORIGIN_DATA = ['"cache"', '"storage"', '"executionContexts"', '"prefetchCache"', '"prerenderCache"'];

/** RFC 6797: without `includeSubDomains`, as another worker's circuits may be below a name. */
function ownTransport(value: string): string | null {
  const directives = value.split(";").map((one) => one.trim());
  return directives.filter((one) => !/^(includesubdomains|preload)\b/i.test(one)).join("; ") || null;
}

/** RFC 7838: alternatives at the circuit's own host and port, and `clear`. */
function ownServices(value: string, host: string): string | null {
  const { hostname, port } = URL.canParse(`https://${host}`) ? new URL(`https://${host}`) : { hostname: "", port: "0" };
  const passed = listed(value).filter((one) => {
    if (one === "clear") return true;
    const [, name = "", at] = /^[^=;]+="([^":]*):(\d+)"(?:\s*;|$)/.exec(one) ?? [];
    return at === (port === "" ? "443" : port) && (name === "" || name.toLowerCase() === hostname);
  });
  return passed.length === 0 ? null : passed.join(", ");
}

/** NEL and Report-To: JSON objects, of which several may be in a list. Those that mean subdomains are left out whole. */
function ownReports(value: string): string | null {
  try {
    const policies: unknown[] = JSON.parse(`[${value}]`);
    const passed = policies.filter((one) => one !== null && typeof one === "object" && !coversMore(one));
    return passed.length === 0 ? null : passed.map((one) => asciiOf(JSON.stringify(one))).join(", ");
  } catch {
    return null; // a browser would not read it either
  }
}

/** What the app has escaped stays so: as a character, U+010A would be the end of a line where it is cut to one byte. */
function asciiOf(json: string): string {
  return json.replaceAll(/[^\x20-\x7e]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function coversMore(policy: object): boolean {
  return "include_subdomains" in policy && policy.include_subdomains !== false;
}

/** Obsolete, and about the certificate, which is the worker's. */
const CERTIFICATE = ["public-key-pins", "public-key-pins-report-only", "expect-ct"].map(
  (name) => [name, drop] as const,
);

/** Not among them: `Reporting-Endpoints`, `Origin-Agent-Cluster` and `Service-Worker-Allowed` mean one document or origin. */
export const ANSWER_RULES: Record<"port" | "wildcard", AnswerRules> = {
  port: new Map([
    ["clear-site-data", ownSiteData],
    ["strict-transport-security", drop],
    ["alt-svc", drop],
    // Kept for an origin, but beyond the life of a circuit: they would tell of the next one's requests.
    ["nel", drop],
    ["report-to", drop],
    ...CERTIFICATE,
  ]),
  wildcard: new Map<string, (value: string, host: string) => string | null>([
    ["clear-site-data", ownSiteData],
    ["strict-transport-security", ownTransport],
    ["alt-svc", ownServices],
    ["nel", ownReports],
    ["report-to", ownReports],
    ...CERTIFICATE,
  ]),
};
