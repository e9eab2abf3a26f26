/**
 * Hosts as they stand in URLs that leave: ASCII, names beyond it in punycode, IPv6 in brackets. Pure. A label is judged with
 * its whole name: one from right to left makes a name a Bidi domain name (RFC 5893 §2), of which no label may begin with a digit.
 */
import { domainToASCII } from "node:url";

/** Whether a URL can have it as its host, and programs that read one take it (RFC 3986 §3.2.2): a name, or an address. */
export function isUrlHost(host: string): boolean {
  // A URL drops or resolves these, or takes them for other parts of its own.
  if (/[\s/?#@\\%]/.test(host)) return false;
  const text = `http://${bracketed(host)}:1/`;
  return URL.canParse(text) && HOST.test(new URL(text).hostname);
}

/** Whether browsers can go to a name; not whether it is a good one. `domain` begins with its dot. */
export function standsUnder(label: string, domain: string): boolean {
  return URL.canParse(`http://${label}${domain}/`);
}

/** A host in ASCII. What no URL can have comes label by label, so that it is told of all the same: never throws. */
export function asciiHost(host: string): string {
  const text = `http://${bracketed(host)}/`;
  if (URL.canParse(text)) return new URL(text).hostname;
  return host
    .split(".")
    .map((label) => domainToASCII(label) || encodeURIComponent(label))
    .join(".");
}

/** An origin as browsers write it, without the scheme's own port. Never throws, as `asciiHost`. */
export function originAt(scheme: "http" | "https", host: string, port: number | null): string {
  const isOwn = port === null || port === OWN_PORTS[scheme];
  return `${scheme}://${asciiHost(host)}${isOwn ? "" : `:${port}`}`;
}

// --- internal ---

/** Some name hosts with an underscore. A name may end with the root's dot. */
const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?)$/;
const OWN_PORTS = { http: 80, https: 443 };

function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}
