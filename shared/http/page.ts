/**
 * Answers for failures: a problem document or a small static page, chosen by `Accept`.
 * Used by the coordinator and the worker; knows neither Elysia nor `Request`.
 */
import Negotiator from "negotiator";
import type { Failure, PageKind } from "../failure.ts";
import { PAGE_OF } from "../pages/kinds.ts";
import type { Language } from "../pages/language.ts";
import { FRAME_SOURCE, render, type Reload } from "../pages/render.ts";

export interface Answer {
  status: number;
  headers: [string, string][];
  body: string;
}

/** Browser-facing answers of ours may be read by any origin: the WebUI calls them from elsewhere. */
export const CORS_HEADERS: [string, string][] = [
  ["Access-Control-Allow-Origin", "*"],
  ["Access-Control-Expose-Headers", "*"],
];

/** True when `Accept` lists `application/json` (also `application/problem+json`). Wildcards do not count: browsers send them. */
export function listsJson(accept: string | null): boolean {
  return listed(accept).some(isJson);
}

/**
 * Whether a person looks at the answer. A browser's navigation says that it is one, where it says so, and lists text/html; a
 * program that takes anything (`Accept: *\/*`) gets JSON, and one that likes JSON as well as HTML.
 */
export function wantsPage(header: (name: string) => string | null): boolean {
  if (header("sec-fetch-mode") === "navigate") return true;
  return listed(header("accept")).find((type) => type === HTML || isJson(type)) === HTML;
}

export function listsHtml(accept: string | null): boolean {
  return listed(accept).includes(HTML);
}

/** What an answer tells beside the failure: an id that is also in the log; and for a page, who reads it, and where. */
export interface About {
  /** Members of the problem document beside its own. */
  more?: Record<string, unknown>;
  /** The page, where it is another one than the failure's own. */
  page?: PageKind | undefined;
  app?: string | undefined;
  errorId?: string | undefined;
  language?: Language | undefined;
  /** Where the person opens apps. */
  home?: string | null | undefined;
  /** The page is shown in a frame. */
  framed?: boolean | undefined;
  /** How many seconds it has been so. */
  seconds?: number | undefined;
  /** The page loads itself again. */
  reload?: Reload | undefined;
  /** Pages of other origins may not read it. */
  closed?: boolean | undefined;
}

/** Renders a failure. */
export function failureAnswer(failure: Failure, form: "json" | "html", about: About = {}): Answer {
  const own: [string, string][] = about.errorId === undefined ? [] : [["X-Error-Id", about.errorId]];
  // RFC 9110 §15.5.6: a 405 says which methods there are.
  if (failure.detail.allow !== undefined) own.push(["Allow", failure.detail.allow.join(", ")]);
  if (about.closed !== true) own.push(...CORS_HEADERS);
  if (form === "json") {
    return {
      status: failure.httpStatus,
      headers: [
        ["Content-Type", "application/problem+json"],
        ["Cache-Control", "no-store"],
        // What was refused may be a link with a token in it.
        ["Referrer-Policy", "no-referrer"],
        ...own,
      ],
      body: JSON.stringify({ ...failure.problem(), ...about.more }),
    };
  }
  const kind = about.page ?? pageOf(failure);
  const language = about.language ?? "en";
  return {
    status: failure.httpStatus,
    headers: [...pageHeaders(language, about.reload), ...own],
    body: render({
      ...about,
      kind,
      language,
      status: failure.httpStatus,
      problem: failure.problem().title,
      home: about.home ?? failure.detail.home ?? null,
      framed: about.framed ?? false,
      tab: failure.detail.tab,
      detail: DETAILED.has(kind) ? failure.detail.msg : undefined,
    }),
  };
}

/** The page that tells people of a failure. */
export function pageOf({ kind, detail }: Failure): PageKind {
  return detail.page ?? PAGE_OF[kind];
}

// --- internal ---

const HTML = "text/html";
/** Browsers' lists have 150 characters. */
const MAX_ACCEPT = 2000;

function isJson(type: string): boolean {
  return type === "application/json" || type === "application/problem+json";
}

/** The media types of `Accept`, the best liked first and JSON before others that are liked as well; none with `q=0`. */
function listed(accept: string | null): string[] {
  const entries = (accept ?? "").slice(0, MAX_ACCEPT).toLowerCase().split(",");
  // Of equal ones negotiator takes the first.
  const jsonFirst = entries.toSorted((a, b) => Number(b.includes("json")) - Number(a.includes("json"))).join(",");
  return new Negotiator({ headers: { accept: jsonFirst } }).mediaTypes();
}

/** Who reads these may have made the request that was wrong. */
const DETAILED: ReadonlySet<PageKind> = new Set(["bad-link", "bad-request", "forbidden", "port-taken", "wrong-method"]);

/** Our pages hold no script and load nothing, but those on the way in that clear a slot (worker/access/leavings.ts). One that loads itself again says where it was (worker/core/hold.ts), others nothing. */
function pageHeaders(language: Language, reload: Reload | undefined): [string, string][] {
  const frame = reload?.frameset === true ? `; ${FRAME_SOURCE}` : "";
  return [
    ["Content-Type", "text/html; charset=utf-8"],
    ["Content-Language", language],
    ["Content-Security-Policy", `default-src 'none'; style-src 'unsafe-inline'${frame}`],
    ["X-Content-Type-Options", "nosniff"],
    ["Referrer-Policy", reload === undefined ? "no-referrer" : "same-origin"],
    ["Cache-Control", "no-store"],
    ["Vary", "Accept, Accept-Language"],
  ];
}
