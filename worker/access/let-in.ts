/**
 * What a person or program is told whose address was let in to a TCP circuit: where to connect, which addresses may until when,
 * and the link of a second look. A page looks by itself, and says afterwards which addresses were let in. Pure.
 */
import type { Answer } from "../../shared/http/page.ts";
import type { Language } from "../../shared/pages/language.ts";
import { renderLetIn, renderPassing, type LetIn } from "../../shared/pages/render.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { PRIVATE_HEADERS } from "./enter.ts";
import type { TwoFamilies } from "./families.ts";
import { scriptedPage } from "./scripted-page.ts";

/** A second look that can be had: its link, and where it leads. */
export interface Ways extends TwoFamilies {
  link: string;
}

interface Told {
  language: Language;
  /** Where browsers find the circuit. */
  origin: string;
  circuit: Circuit;
  /** Null: everybody may connect. */
  allowed: LetIn[] | null;
  /** Null: there is no second look. */
  ways: Ways | null;
}

/** Members of the JSON answer. */
export function letInAnswer(allowed: LetIn[] | null, ways: Ways | null = null): Record<string, unknown> {
  return { ...(allowed === null ? {} : { allowed }), ...(ways === null ? {} : { second_look: ways.link }) };
}

/** `host:port` of a TCP circuit. An origin is without its port where that is the scheme's own. */
export function gatewayOf(origin: string, { port }: Circuit): string {
  const host = origin.replace(/^https?:\/\//, "").replace(/:\d+$/, "");
  return `${host}:${port ?? 0}`;
}

export function letInPage({ language, origin, circuit, allowed, ways }: Told): Response {
  const script = ways === null ? "" : LOOK;
  const gateway = gatewayOf(origin, circuit);
  const body = renderLetIn({ language, gateway, allowed, look: ways?.link ?? null, script });
  return responseOf(scriptedPage({ body, script, language, asks: asked(ways), headers: PRIVATE_HEADERS }));
}

/** A page that looks for a moment and goes on to the person's own client. */
export function lookAndGoOn(onward: string, ways: Ways, language: Language): Response {
  const body = renderPassing(language, onward, LOOK_AND_GO_ON, ways.link);
  return responseOf(
    scriptedPage({ body, script: LOOK_AND_GO_ON, language, asks: asked(ways), headers: PRIVATE_HEADERS }),
  );
}

// --- internal ---

function asked(ways: Ways | null): string[] {
  return ways === null ? [] : [ways.there, ways.back];
}

function responseOf({ status, headers, body }: Answer): Response {
  return new Response(body, { status, headers });
}

/** A family that a machine has not fails at once; one whose packets are lost does not. Milliseconds. */
const LOOK_MS = 5000;
/** The same, while somebody waits. */
const PASSING_MS = 2000;

const ask = (link: string, ms: number) =>
  `await fetch(${link}, { credentials: "omit", cache: "no-store", headers: { Accept: "application/json" }, ` +
  `signal: AbortSignal.timeout(${ms}) })`;

/**
 * Where nothing comes of it (no way over that family, or a browser that lets no page ask there) the page keeps saying what it says,
 * with the link for a click.
 */
const LOOK = `(async () => {
  const [list, other] = [document.querySelector("ul"), document.querySelector("#other")];
  try {
    const answer = ${ask(`other.querySelector("a").href`, LOOK_MS)};
    const items = (await answer.json()).allowed.map(({ address, until }) => {
      const item = document.createElement("li");
      const time = until.slice(0, 16).replace("T", " ") + " UTC";
      item.textContent = list.dataset.item.replace("{address}", address).replace("{time}", time);
      return item;
    });
    list.replaceChildren(...items);
    other.remove();
  } catch {}
})();`;

const LOOK_AND_GO_ON = `(async () => {
  try { ${ask(`document.querySelector("main").dataset.look`, PASSING_MS)}; } catch {}
  location.replace(document.querySelector("main a").href);
})();`;
