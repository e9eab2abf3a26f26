/**
 * `bun run pages`: every page that people may see, in Chromium, as contact sheets in test/artefacts: English and Korean, light
 * and dark, desktop and phone (390 px). For people to look at: the words and the looks are a matter of taste. Korean wants a
 * font that has it (Debian: fonts-nanum).
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Failure, type FailureKind, type PageKind } from "../shared/failure.ts";
import { failureAnswer } from "../shared/http/page.ts";
import { BEHAVIOURS, PAGE_OF } from "../shared/pages/kinds.ts";
import type { Language } from "../shared/pages/language.ts";
import { renderLetIn, renderPassing } from "../shared/pages/render.ts";
import { startBrowser } from "./support/browser.ts";
import { ROOT } from "./support/spawned.ts";

const SIZES = { desktop: { width: 760, height: 560, columns: 3 }, phone: { width: 390, height: 640, columns: 5 } };
/** Of pages that are not one failure's own: for which they are shown. */
const SHOWN_FOR: Partial<Record<PageKind, FailureKind>> = {
  "broken-off": "appproxy/container-connection-refused",
  moved: "service-unavailable",
  "no-kernel": "service-unavailable",
  "not-responding": "service-unavailable",
  framed: "invalid-credentials",
  "link-used": "invalid-credentials",
  "link-expired": "invalid-credentials",
  "other-session": "invalid-credentials",
  "session-over": "invalid-credentials",
  "service-token": "invalid-credentials",
  "other-site": "generic-forbidden",
  "bad-link": "generic-bad-request",
  internal: "internal-server-error",
};

/** Sheets to make: all, or those that are named, such as `ko-dark-phone`. */
const wanted = process.argv.slice(2);
const directory = join(ROOT, "test/artefacts");
mkdirSync(directory, { recursive: true });
const browser = await startBrowser();
for (const language of ["en", "ko"] as const)
  for (const colorScheme of ["light", "dark"] as const)
    for (const [name, { width, height, columns }] of Object.entries(SIZES)) {
      if (wanted.length > 0 && !wanted.includes(`${language}-${colorScheme}-${name}`)) continue;
      const viewport = { width: columns * (width + 8), height: 1000 };
      const context = await browser.newContext({ colorScheme, viewport });
      const page = await context.newPage();
      page.setDefaultTimeout(180_000);
      const pages = (Object.keys(BEHAVIOURS) as PageKind[]).map((kind) => pageOf(kind, language));
      const frames = [...pages, renderPassing(language, "/", ""), letInPage(language)].map(
        (html) =>
          `<iframe style="border:0;margin:4px" width="${width}" height="${height}" srcdoc="${Bun.escapeHTML(html)}"></iframe>`,
      );
      await page.setContent(`<body style="margin:0;background:#888;font-size:0">${frames.join("")}</body>`);
      const path = join(directory, `pages-${language}-${colorScheme}-${name}.png`);
      await page.screenshot({ path, fullPage: true });
      process.stdout.write(`${path}\n`);
      await context.close();
    }
await browser.close();

function letInPage(language: Language): string {
  const allowed = [{ address: "2001:db8::9", until: "2026-11-28T00:10:00Z" }];
  return renderLetIn({ language, gateway: "apps.example.com:10205", allowed, look: "/", script: "" });
}

function pageOf(kind: PageKind, language: Language): string {
  const { retries } = BEHAVIOURS[kind];
  const own = (Object.keys(PAGE_OF) as FailureKind[]).findLast((one) => PAGE_OF[one] === kind);
  const failure = SHOWN_FOR[kind] ?? own;
  if (failure === undefined) throw new Error(`${kind}: of no failure; name one in SHOWN_FOR`);
  const tab = kind === "framed" ? { tab: "/" } : {};
  const msg = kind === "port-taken" ? "port: 10300 is already occupied by another circuit" : "token: wanted a UUID";
  return failureAnswer(new Failure(failure, { page: kind, msg, object: "circuit", ...tab }), "html", {
    language,
    errorId: "146297df-7ee9-44ad-bc79-349ed714859a",
    // Half of them know where the platform is.
    home: kind.length % 2 === 0 ? "https://web.example.com/" : null,
    framed: kind === "framed",
    // A page in a sheet is not to load itself again.
    ...(retries === true ? { app: "jupyterlab", seconds: 42, reload: { after: 600, frameset: false } } : {}),
  }).body;
}
