/**
 * Our pages as HTML: small, static, without scripts, readable on a phone, in the dark, and with a screen reader.
 * What they say is in texts.ts; when they are shown, and with which headers, is shared/http/page.ts's matter.
 */
import { BEHAVIOURS } from "./kinds.ts";
import type { PageKind } from "../failure.ts";
import type { Language } from "./language.ts";
import { timeText, WORDS } from "./texts.ts";

/** What a page shows. */
export interface View {
  kind: PageKind;
  language: Language;
  status: number;
  /** The failure's title. */
  problem: string;
  /** The app's name; only for who was let in. */
  app?: string | undefined;
  /** An id that is also in the log. */
  errorId?: string | undefined;
  /** How long it has been as it is. */
  seconds?: number | undefined;
  /** What exactly was wrong with what was sent, for who made it. */
  detail?: string | undefined;
  /** Where the person opens apps; null when it is not known. */
  home: string | null;
  /** The page is a frame of somebody's page: links open tabs of their own. */
  framed: boolean;
  /** Opens the app itself in a tab of its own. */
  tab?: string | undefined;
  /** Set when the page loads itself again. */
  reload?: Reload | undefined;
}

export interface Reload {
  /** In so many seconds. */
  after: number;
  /** The browser is one that needs a frameset for it: see `frameset`. */
  frameset: boolean;
}

/** What the one frame of a frameset is allowed to be. */
export const FRAME_SOURCE = "frame-src data:";

export function render(view: View): string {
  const { reload } = view;
  if (reload === undefined) return documentOf(view, mainOf(view, view.framed ? "_blank" : null), "");
  const refresh = `<meta http-equiv="refresh" content="${reload.after}">`;
  if (!reload.frameset) return documentOf(view, mainOf(view, view.framed ? "_blank" : null), refresh);
  return frameset(view, documentOf(view, mainOf(view, view.framed ? "_blank" : "_top"), ""), refresh);
}

/** An address that may connect until then: ISO 8601. */
export interface LetIn {
  address: string;
  until: string;
}

interface Entrance {
  language: Language;
  /** Where to connect: `host:port`. */
  gateway: string;
  /** Null: everybody. */
  allowed: LetIn[] | null;
  /** Lets in the person's other address. `script` asks there, and fills in the list. */
  look: string | null;
  script: string;
}

/** Tells a person of an app that is no web page where to connect, and from which address. It says the same without its script. */
export function renderLetIn({ language, gateway, allowed, look, script }: Entrance): string {
  const { title, what, from, item, everybody, other, letOther } = WORDS[language].letIn;
  const said = ({ address, until }: LetIn) =>
    item.replace("{address}", address).replace("{time}", `${until.slice(0, 16).replace("T", " ")} UTC`);
  const items = (allowed ?? []).map((one) => `<li>${Bun.escapeHTML(said(one))}</li>`).join("");
  const who =
    allowed === null
      ? `<p>${everybody}</p>`
      : `<p>${from}</p><ul role="status" data-item="${Bun.escapeHTML(item)}">${items}</ul>`;
  const more =
    look === null ? "" : `<div id="other"><p>${other}</p><p class="do">${link(look, letOther, null)}</p></div>`;
  const main = `<main><h1>${title}</h1><p>${what}</p><p><code>${Bun.escapeHTML(gateway)}</code></p>${who}${more}</main>`;
  const run = script === "" ? "" : `<script>${script}</script>`;
  return page(language, title, `<style>${STYLE}</style>`, `<body>${main}${run}</body>`);
}

/**
 * What is seen for a moment on the way to an app, while `script` runs; without it, the link leads on. `look`: what the script
 * asks first.
 */
export function renderPassing(language: Language, onward: string, script: string, look?: string): string {
  const { opening, goOn } = WORDS[language];
  const data = look === undefined ? "" : ` data-look="${Bun.escapeHTML(look)}"`;
  const main = `<main${data}><h1>${opening}</h1><p class="do">${link(onward, goOn, null)}</p></main>`;
  return page(language, opening, `<style>${STYLE}</style>`, `<body>${main}<script>${script}</script></body>`);
}

// --- internal ---

/**
 * In Chromium and Safari a refresh of an address with a `#fragment` only scrolls (Blink's FrameLoader takes it for a
 * navigation in the same document; seen in Chromium 156), and one to the address without it loses it, which the server never
 * hears of. From a frameset it is always a real load ("We don't want to just scroll if … reload the frameset"), and keeps the
 * fragment. Without a script nothing else does. So the page is the only frame of one, inside the same answer.
 */
function frameset(view: View, inner: string, refresh: string): string {
  const source = `data:text/html;charset=utf-8;base64,${Buffer.from(inner).toString("base64")}`;
  const title = titleOf(view);
  return page(
    view.language,
    title,
    refresh,
    `<frameset rows="*" border="0" frameborder="0"><frame src="${source}" title="${Bun.escapeHTML(title)}">` +
      `<noframes>${mainOf(view, null)}</noframes></frameset>`,
  );
}

function documentOf(view: View, main: string, more: string): string {
  return page(view.language, titleOf(view), `${more}<style>${STYLE}</style>`, `<body>${main}</body>`);
}

function page(language: Language, title: string, more: string, content: string): string {
  return `<!doctype html><html lang="${language}"><head>${HEAD}<title>${Bun.escapeHTML(title)}</title>${more}</head>${content}</html>`;
}

/** The app's name comes first where there are many tabs. */
function titleOf({ kind, language, app }: View): string {
  const { title } = WORDS[language].pages[kind];
  return app === undefined ? title : `${app} – ${title}`;
}

/** `target`: where links lead; null for the same place. */
function mainOf(view: View, target: string | null): string {
  const { kind, language, seconds, detail, reload, app, errorId, status, problem } = view;
  const words = WORDS[language];
  const { title, what, known, todo } = words.pages[kind];
  const actions = actionsOf(view, target);
  const canOpen = BEHAVIOURS[kind].offers.includes("open");
  const paragraphs = [
    [what, seconds === undefined ? undefined : known?.replace("{time}", timeText(seconds, language))],
    [todo, reload === undefined ? undefined : words.reloads],
    // Somebody who knows no other way to the platform than the one they came from.
    [canOpen && view.home === null && reload === undefined ? words.goBack : undefined],
  ].map((sentences) => sentences.filter((one) => one !== undefined).join(" "));
  const small = [
    app === undefined ? "" : `${words.app}: <b>${Bun.escapeHTML(app)}</b>`,
    detail === undefined ? "" : Bun.escapeHTML(detail),
    errorId === undefined ? "" : `${words.errorId}: ${Bun.escapeHTML(errorId)}`,
    // In words that administrators know; who was refused need not read more than the number.
    status >= 500 ? `${status} ${Bun.escapeHTML(problem)}` : `HTTP ${status}`,
  ].filter((one) => one !== "");
  return (
    `<main><h1>${Bun.escapeHTML(title)}</h1>` +
    paragraphs.map((text) => (text === "" ? "" : `<p>${Bun.escapeHTML(text)}</p>`)).join("") +
    (actions === "" ? "" : `<p class="do">${actions}</p>`) +
    `<footer>${small.map((one) => `<div>${one}</div>`).join("")}</footer></main>`
  );
}

function actionsOf({ kind, language, home, tab, reload }: View, target: string | null): string {
  const words = WORDS[language];
  const { offers } = BEHAVIOURS[kind];
  const links: string[] = [];
  if (tab !== undefined) links.push(link(tab, words.openTab, "_blank"));
  // A frame's content of our own has no address to load again. Elsewhere a click loses the address's `#fragment`, which no
  // link to a page's own address keeps; the page's own reload keeps it.
  if (offers.includes("try") && reload?.frameset !== true) links.push(link("", words.tryAgain, null));
  if (offers.includes("open") && home !== null) links.push(link(home, words.openAgain, target));
  return links.join(" ");
}

function link(href: string, text: string, target: string | null): string {
  const where = target === null ? "" : ` target="${target}"${target === "_blank" ? ` rel="noopener noreferrer"` : ""}`;
  return `<a href="${Bun.escapeHTML(href)}"${where}>${Bun.escapeHTML(text)}</a>`;
}

const HEAD =
  `<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
  `<meta name="color-scheme" content="light dark">`;

/** Contrast of text and links is 4.5 at least in both schemes (WCAG 2 AA); a test reckons it from these colours. */
const STYLE =
  ":root{color-scheme:light dark;--t:#1c2330;--d:#5a6472;--p:#f3f5f8;--c:#fff;--b:#d5dbe3;--a:#0a55c4;--o:#fff}" +
  "@media(prefers-color-scheme:dark){:root{--t:#e8ecf2;--d:#a3adba;--p:#12161c;--c:#1b212a;--b:#343d4a;--a:#8ab4f8;--o:#0b1a33}}" +
  "body{margin:0;padding:12vh 1rem 1rem;background:var(--p);color:var(--t);font:1rem/1.6 system-ui,sans-serif}" +
  "main{max-width:32rem;margin:auto;padding:clamp(1.25rem,5vw,2.25rem);background:var(--c);border:1px solid var(--b);border-radius:.75rem;overflow-wrap:anywhere}" +
  ":lang(ko){word-break:keep-all}h1{margin:0;font-size:1.4rem;line-height:1.35}p{margin:.75rem 0}" +
  ".do{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.5rem 0}" +
  "a{padding:.6rem 1.1rem;border:1px solid;border-radius:.5rem;color:var(--a);font-weight:600;text-decoration:none}" +
  "a:first-child{background:var(--a);color:var(--o)}a:hover{text-decoration:underline}a:focus-visible{outline:3px solid var(--a);outline-offset:3px}" +
  "footer{margin-top:1.25rem;padding-top:1rem;border-top:1px solid var(--b);color:var(--d);font-size:.8rem}";
