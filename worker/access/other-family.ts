/**
 * A link that comes again over the other family than the first time (security 4). A browser chooses between IPv4 and IPv6 anew
 * for each connection, so the client that used a link first may look like another one. It is sent to where it can show its
 * first address: over that family it is known again, and another client is another one there too.
 */
import type { Answer } from "../../shared/http/page.ts";
import { wantsPage } from "../../shared/http/page.ts";
import { languageOf } from "../../shared/pages/language.ts";
import { renderPassing } from "../../shared/pages/render.ts";
import { PRIVATE_HEADERS } from "./enter.ts";
import { familyOf, type Families } from "./families.ts";
import { scriptedPage } from "./scripted-page.ts";

interface Again {
  header: (name: string) => string | null;
  /** Of the first use: the client, as setup.ts tells it; null where it is not known. */
  by: string | null;
  /** The client of this use. */
  client: string;
  query: URLSearchParams;
}

/** Sends a client that may be the first one to the first one's family; null where it can't be, or has been sent already. */
export async function overFirstFamily(
  { header, by, client, query }: Again,
  families: Families,
): Promise<Answer | null> {
  const [first, now] = [familyOf(by ?? ""), familyOf(client)];
  if (by === null || first === null || now === null || first === now || query.has(SENT)) return null;
  const origin = await families.at(first, by);
  if (origin === null) return null;
  const sent = new URLSearchParams(query);
  sent.set(SENT, "yes");
  const onward = `${origin}/setup?${sent.toString()}`;
  if (!wantsPage(header)) return { status: 302, headers: [["Location", onward], ...PRIVATE_HEADERS], body: "" };
  // A navigation to where this machine can't go would end with the browser's own error page.
  const language = languageOf(header("accept-language"));
  const body = renderPassing(language, onward, TRY);
  return scriptedPage({ body, script: TRY, language, asks: [onward], headers: PRIVATE_HEADERS });
}

// --- internal ---

/** Of a link that was sent on: what is another client's there stays so. */
const SENT = "sent";

/** A link to a web app answers with a redirect, which a script sees as such; what a refusal says comes from here. */
const TRY = `(async () => {
  const onward = document.querySelector("main a").href;
  let known = false;
  try {
    const answer = await fetch(onward, { credentials: "omit", cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(5000) });
    known = answer.ok || answer.type === "opaqueredirect";
  } catch {}
  const here = new URL(location.href);
  here.searchParams.set("${SENT}", "yes");
  location.replace((known ? onward : here.href.split("#")[0]) + location.hash);
})();`;
