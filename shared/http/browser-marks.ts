/**
 * What browsers put on requests and no page can take away: `Origin` on every POST, `Sec-Fetch-*` on all that goes to https or
 * loopback. Programs send none of them.
 */

/** The first header that tells of a browser, such as `Origin: "https://a.example"`; null for a program. */
export function browserMark(headers: Headers): string | null {
  const origin = headers.get("origin");
  if (origin !== null) return `Origin: ${shown(origin)}`;
  // Its value may hold a token of its page's URL.
  if (headers.has("referer")) return "Referer";
  for (const [name, value] of headers) {
    if (name.startsWith("sec-fetch-")) return `${name.replace(/(?<=^|-)[a-z]/g, capital)}: ${shown(value)}`;
  }
  return null;
}

// --- internal ---

const capital = (letter: string) => letter.toUpperCase();

function shown(value: string): string {
  return JSON.stringify(value.slice(0, 80));
}
