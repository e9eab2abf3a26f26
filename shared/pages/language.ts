/** In which of our languages a person reads a page: the one that `Accept-Language` likes best. Pure. */

const LANGUAGES = ["en", "ko"] as const;
export type Language = (typeof LANGUAGES)[number];

/** RFC 9110 §12.5.4: the entry with the highest `q` wins, the first of equal ones; English when none of them is ours. */
export function languageOf(acceptLanguage: string | null): Language {
  let best: Language = "en";
  let weight = 0;
  for (const entry of (acceptLanguage ?? "").slice(0, MAX_LENGTH).split(",")) {
    const [range = "", ...parameters] = entry.split(";").map((part) => part.trim().toLowerCase());
    const language = range === "*" ? "en" : LANGUAGES.find((one) => range === one || range.startsWith(`${one}-`));
    const q = qualityOf(parameters);
    if (language === undefined || q <= weight) continue;
    best = language;
    weight = q;
  }
  return best;
}

// --- internal ---

/** Longer lists are written by nobody who reads a page. */
const MAX_LENGTH = 500;

/** 1 without a `q`; an unreadable one likes nothing. */
function qualityOf(parameters: readonly string[]): number {
  const given = parameters.find((one) => one.startsWith("q="));
  if (given === undefined) return 1;
  return /^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(given) ? Number(given.slice(2)) : 0;
}
