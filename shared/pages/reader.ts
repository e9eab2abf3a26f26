/** Who reads a page, and where: what their browser's request tells. Pure. */
import { languageOf, type Language } from "./language.ts";

export interface Reader {
  language: Language;
  /** The page is shown in a frame of another one. */
  framed: boolean;
}

export function readerOf(header: (name: string) => string | null): Reader {
  return { language: languageOf(header("accept-language")), framed: isFramed(header) };
}

/** Browsers say so over https and on loopback (Fetch Metadata). */
export function isFramed(header: (name: string) => string | null): boolean {
  return FRAMES.has(header("sec-fetch-dest") ?? "");
}

/** Chromium and Safari (and what is made of them) scroll where Firefox loads again: see `frameset` in render.ts. */
export function scrollsAtRefresh(userAgent: string | null): boolean {
  return userAgent?.includes("AppleWebKit/") === true;
}

// --- internal ---

const FRAMES: ReadonlySet<string> = new Set(["iframe", "frame", "embed", "object", "fencedframe"]);
