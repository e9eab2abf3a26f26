/**
 * `bun run pages`: every page that people may see, in Chromium, as contact sheets in test/artefacts: English and Korean, light
 * and dark, desktop and phone (390 px). For people to look at: the words and the looks are a matter of taste. Korean wants a
 * font that has it (Debian: fonts-nanum).
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BEHAVIOURS, type PageKind } from "../shared/pages/kinds.ts";
import type { Language } from "../shared/pages/language.ts";
import { escapeHtml, render } from "../shared/pages/render.ts";
import { startBrowser } from "./support/browser.ts";
import { ROOT } from "./support/spawned.ts";

const SIZES = { desktop: { width: 760, height: 560, columns: 3 }, phone: { width: 390, height: 640, columns: 5 } };
const STATUS: Partial<Record<PageKind, [number, string]>> = {
  starting: [503, "The app is still starting."],
  refused: [502, "Cannot connect to Backend.AI kernel."],
  "broken-off": [502, "Cannot connect to Backend.AI kernel."],
  "timed-out": [504, "Backend.AI kernel does not accept the connection in time."],
  "no-worker": [503, "Worker not available."],
  "not-responding": [503, "Service unavailable."],
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
      const frames = (Object.keys(BEHAVIOURS) as PageKind[]).map((kind) => {
        const html = escapeHtml(pageOf(kind, language));
        return `<iframe style="border:0;margin:4px" width="${width}" height="${height}" srcdoc="${html}"></iframe>`;
      });
      await page.setContent(`<body style="margin:0;background:#888;font-size:0">${frames.join("")}</body>`);
      const path = join(directory, `pages-${language}-${colorScheme}-${name}.png`);
      await page.screenshot({ path, fullPage: true });
      process.stdout.write(`${path}\n`);
      await context.close();
    }
await browser.close();

function pageOf(kind: PageKind, language: Language): string {
  const { retries } = BEHAVIOURS[kind];
  const [status, problem] = STATUS[kind] ?? [404, "Not found."];
  return render({
    kind,
    language,
    status,
    problem,
    errorId: "146297df-7ee9-44ad-bc79-349ed714859a",
    // Half of them know where the platform is.
    home: kind.length % 2 === 0 ? "https://web.example.com/" : null,
    framed: kind === "framed",
    ...(kind === "framed" ? { tab: "/" } : {}),
    // A page in a sheet is not to load itself again.
    ...(retries === true ? { app: "jupyterlab", seconds: 42, reload: { after: 600, frameset: false } } : {}),
  });
}
