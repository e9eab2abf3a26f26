/**
 * Requests whose answer nobody will see: link previews, prefetches, a page's `no-cors` fetch. On the way in they get
 * nothing and use nothing up, so that the link is whole when its person opens it (security 4). Pure.
 */

type Header = (name: string) => string | null;

/** What such a request is answered with; null for any other. */
export function unseen(method: string, header: Header): { status: 204 | 503 } | null {
  const isQuiet = method === "HEAD" || header("sec-fetch-mode") === "no-cors";
  // Browsers take a prefetched 2xx for the navigation's answer: after a 204 a click on the link does nothing at all.
  if (isPrefetch(header)) return { status: isQuiet ? 204 : 503 };
  return isQuiet ? { status: 204 } : null;
}

/**
 * The same for a page's fetch where browsers do not say its mode: over plain HTTP, and Safari before 16.4. Programs,
 * which have to be let in, send no `Referer`, and navigations ask for HTML.
 */
export function seemsUnseen(header: Header): boolean {
  return (
    header("sec-fetch-mode") === null &&
    header("accept") === "*/*" &&
    header("referer") !== null &&
    header("origin") === null
  );
}

/** Any page may ask, and pages that demand it (`COEP: require-corp`) must be allowed to have an answer. */
export const UNSEEN_HEADERS: [string, string][] = [
  ["Cache-Control", "no-store"],
  ["Referrer-Policy", "no-referrer"],
  ["Cross-Origin-Resource-Policy", "cross-origin"],
];

// --- internal ---

/** `Sec-Purpose` is today's name, `Purpose` that of Chromium before 2022 and Safari, `X-Moz` Firefox's before 2023. */
function isPrefetch(header: Header): boolean {
  return ["sec-purpose", "purpose", "x-moz"].some((name) => header(name)?.includes("prefetch") === true);
}
