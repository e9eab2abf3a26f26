/**
 * What another user's app has left in a browser on a circuit's slot, and how it is cleared when somebody new comes in.
 * Pure. Used by enter.ts and setup.ts.
 *
 * `Clear-Site-Data` does it, without "cookies": that clears the whole registrable domain (Chromium 156: all ports of the
 * host, all names beside this one, the platform's login, and the permit that the same answer sets). In wildcard mode the
 * name's own cookies are expired one by one: those that arrive here, which a cookie with a narrower `Path` does not. In
 * port mode cookies belong to the host, not to the slot, so there is nothing that could be cleared for the slot alone.
 * The header is ignored over plain http on names other than loopback's; there a page does what a page can.
 */
import type { Language } from "../../shared/pages/language.ts";
import { renderPassing } from "../../shared/pages/render.ts";
import type { Answer } from "../../shared/http/page.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { withoutOurCookies } from "../http/headers.ts";
import { wantsSecure } from "./permit-cookie.ts";
import type { PermitClaims } from "./permit.ts";
import { scriptedPage } from "./scripted-page.ts";

/** Whether a browser may still have what was left: it shows no permit from since the circuit is on this slot. */
export function mayHoldLeavings({ recycled_at: since }: Circuit, permit: PermitClaims | null): boolean {
  // A permit's time is cut to its second.
  return since !== undefined && (permit === null || (permit.iat + 1) * 1000 <= Date.parse(since));
}

/** Alternative services, error reports and report groups too, which earlier versions let pass, and other ways may. */
export const CLEARING: [string, string][] = [
  ["Clear-Site-Data", '"cache", "storage"'],
  ["Alt-Svc", "clear"],
  ["NEL", '{"max_age":0}'],
  ["Report-To", '{"group":"default","max_age":0,"endpoints":[]}'],
];

/** Expires the cookies that came to a wildcard circuit's name and are its own. Those of its domain are other cookies. */
export function expireCookies(circuit: Circuit, header: string | null): [string, string][] {
  if (circuit.frontend_mode === "port" || header === null) return [];
  const names = withoutOurCookies(header)
    .split(";")
    .map((pair) => pair.slice(0, Math.max(0, pair.indexOf("="))).trim());
  return [...new Set(names)]
    .filter((name) => name !== "")
    .map((name) => {
      return ["Set-Cookie", `${name}=; Path=/; Max-Age=0${wantsSecure(name) ? "; Secure" : ""}`];
    });
}

/** Where browsers take `Clear-Site-Data` from: over TLS, and from loopback (Secure Contexts §3.1). */
export function isTrustworthy(secure: boolean, host: string): boolean {
  if (secure) return true;
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
  return name === "[::1]" || name === "localhost" || name.endsWith(".localhost") || /^127(\.\d+){3}$/.test(name);
}

/** A page that clears what scripts can reach and goes on. The browser's cache of the slot stays: only a header clears it. */
export function clearingPage(onward: string, headers: [string, string][], language: Language): Answer {
  return scriptedPage({ ...passing(CLEAR, onward, language), asks: [], headers });
}

/**
 * A page on another origin than the circuit's that has the circuit's cleared and goes on. A service worker there answers
 * the circuit's own navigations, but not what another origin asks for: `onward` is asked first as a page's fetch.
 */
export function clearingFromOutside(onward: string, headers: [string, string][], language: Language): Answer {
  return scriptedPage({ ...passing(CLEAR_FROM_OUTSIDE, onward, language), asks: [onward], headers });
}

// --- internal ---

const CLEAR = `(async () => {
  const quietly = async (work) => { try { await work(); } catch {} };
  await quietly(() => localStorage.clear());
  await quietly(() => sessionStorage.clear());
  await quietly(async () => {
    for (const { name } of await indexedDB.databases())
      await new Promise((done) => {
        const asked = indexedDB.deleteDatabase(name);
        asked.onsuccess = asked.onerror = asked.onblocked = done;
      });
  });
  location.replace(document.querySelector("a").href + location.hash);
})();`;

const CLEAR_FROM_OUTSIDE = `(async () => {
  const onward = document.querySelector("a").href;
  try { await fetch(onward, { mode: "no-cors", credentials: "include", cache: "no-store" }); } catch {}
  location.replace(onward + location.hash);
})();`;

function passing(script: string, onward: string, language: Language) {
  return { script, language, body: renderPassing(language, onward, script) };
}
