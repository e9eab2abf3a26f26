/** In which of our languages a person reads a page: the one that `Accept-Language` likes best. Pure. */
import Negotiator from "negotiator";

const LANGUAGES = ["en", "ko"] as const;
export type Language = (typeof LANGUAGES)[number];

/** RFC 9110 §12.5.4: the entry with the highest `q` wins, the first of equal ones; English when none of them is ours. */
export function languageOf(acceptLanguage: string | null): Language {
  const header = (acceptLanguage ?? "").slice(0, MAX_LENGTH).toLowerCase();
  // Asked for ours alone, negotiator would take `en` of `ko-KR, en`: it likes an exact match better than the order.
  const listed = new Negotiator({ headers: { "accept-language": header } }).languages();
  return listed.map(ours).find((language) => language !== undefined) ?? "en";
}

// --- internal ---

/** Longer lists are written by nobody who reads a page. */
const MAX_LENGTH = 500;

function ours(range: string): Language | undefined {
  if (range === "*") return "en";
  return LANGUAGES.find((one) => range === one || range.startsWith(`${one}-`));
}
