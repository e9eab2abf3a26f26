/**
 * Pages of ours that have a script: on the way in, where only the browser itself can look or clear. One script each, named in
 * the policy by its hash, which says also where it may ask (security 15). Pure.
 */
import { createHash } from "node:crypto";
import type { Answer } from "../../shared/http/page.ts";
import type { Language } from "../../shared/pages/language.ts";

interface Scripted {
  /** The whole page; it holds `script` as it is. */
  body: string;
  script: string;
  language: Language;
  /** URLs that the script asks. */
  asks: readonly string[];
  /** More header lines. */
  headers: [string, string][];
}

export function scriptedPage({ body, script, language, asks, headers }: Scripted): Answer {
  const hash = createHash("sha256").update(script).digest("base64");
  const connect = asks.length === 0 ? "'none'" : [...new Set(asks.map(sourceOf))].join(" ");
  const policy =
    `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; connect-src ${connect}; ` +
    `base-uri 'none'; form-action 'none'`;
  return {
    status: 200,
    headers: [
      ["Content-Type", "text/html; charset=utf-8"],
      ["Content-Language", language],
      ["Content-Security-Policy", policy],
      ["X-Content-Type-Options", "nosniff"],
      ...headers,
    ],
    body,
  };
}

// --- internal ---

/** CSP 3 §2.3.1: a source has no form for an IPv6 address; the script, whose hash is there, asks for nothing else. */
function sourceOf(url: string): string {
  const { origin, protocol, hostname } = new URL(url);
  return hostname.startsWith("[") ? protocol : origin;
}
