/**
 * Answers for failures: a problem document or a small static page, chosen by `Accept`.
 * Used by the coordinator and the worker; knows neither Elysia nor `Request`.
 */
import type { Failure } from "./failure.ts";

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

/** Our pages hold no script and load nothing. */
export const PAGE_HEADERS: [string, string][] = [
  ["Content-Type", "text/html; charset=utf-8"],
  ["Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"],
  ["X-Content-Type-Options", "nosniff"],
  ["Cache-Control", "no-store"],
];

/** True when `Accept` lists `application/json` (also `application/problem+json`). Wildcards do not count: browsers send them. */
export function listsJson(accept: string | null): boolean {
  return accept !== null && /\bapplication\/(problem\+)?json\b/i.test(accept);
}

/**
 * Whether a person looks at the answer. A browser's navigation says that it is one, where it says so, and lists text/html; a
 * program that takes anything (`Accept: *\/*`) gets JSON.
 */
export function wantsPage(header: (name: string) => string | null): boolean {
  if (header("sec-fetch-mode") === "navigate") return true;
  const accept = header("accept");
  return !listsJson(accept) && listsHtml(accept);
}

export function listsHtml(accept: string | null): boolean {
  return accept !== null && /\btext\/html\b/i.test(accept);
}

/** What a page tells: the app's name, an id that is also in the log, and whether it loads itself again. `more` is for programs. */
interface About {
  app?: string;
  errorId?: string;
  reload?: boolean;
  /** Members of the problem document beside its own. */
  more?: Record<string, unknown>;
}

/** Renders a failure. */
export function failureAnswer(failure: Failure, form: "json" | "html", about: About = {}): Answer {
  const problem = failure.problem();
  const id: [string, string][] = about.errorId === undefined ? [] : [["X-Error-Id", about.errorId]];
  if (form === "json") {
    return {
      status: failure.httpStatus,
      headers: [["Content-Type", "application/problem+json"], ["Cache-Control", "no-store"], ...id, ...CORS_HEADERS],
      body: JSON.stringify({ ...problem, ...about.more }),
    };
  }
  const lines = [
    about.app === undefined ? "" : `<p>App: <b>${escapeHtml(about.app)}</b></p>`,
    problem.msg === undefined ? "" : `<p>${escapeHtml(problem.msg)}</p>`,
    // Only what may pass by itself is worth trying again.
    failure.httpStatus >= 500 ? `<p><a href="">Try again</a></p>` : "",
    failure.httpStatus === 401 ? "<p>Open the app again from where you started it.</p>" : "",
    about.errorId === undefined ? "" : `<p><small>Error id: ${escapeHtml(about.errorId)}</small></p>`,
  ];
  return {
    status: failure.httpStatus,
    headers: [...PAGE_HEADERS, ...id, ...CORS_HEADERS],
    body: page(`${failure.httpStatus} ${problem.title}`, lines.join(""), about.reload === true ? RELOAD : ""),
  };
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

// --- internal ---

const STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;margin:12vh auto;max-width:36rem;padding:0 1rem;color:#222}" +
  "h1{font-size:1.3rem}a{display:inline-block;padding:.3rem .9rem;border:1px solid #888;border-radius:.3rem;color:inherit;text-decoration:none}small{color:#666}";

/** Without a script: our pages have none. */
const RELOAD = `<meta http-equiv="refresh" content="1">`;

function page(title: string, body: string, head: string): string {
  const safe = escapeHtml(title);
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${safe}</title>` +
    `<meta name="viewport" content="width=device-width">${head}<style>${STYLE}</style></head>` +
    `<body><h1>${safe}</h1>${body}</body></html>`
  );
}
