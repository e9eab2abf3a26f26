/**
 * Finds what looks like a real secret in a text: keys in the forms in which their makers issue them, and long strings that only
 * chance can have made. Pure; who knows which of them are harmless is test/attack/static.test.ts.
 */
export interface Finding {
  /** From 1. */
  line: number;
  what: string;
  text: string;
}

/** All that looks like one, in the order of the lines. `skips` leaves out what is known to be none, such as a checksum's form. */
export function secretsIn(text: string, skips: readonly RegExp[] = []): Finding[] {
  return text.split("\n").flatMap((line, at) => {
    const seen = skips.reduce((rest, skip) => rest.replaceAll(skip, " "), line);
    const formed = FORMS.flatMap(([what, form]) => [...seen.matchAll(form)].map(([found]) => ({ what, text: found })));
    const rest = formed.reduce((left, { text: found }) => left.replaceAll(found, " "), seen);
    const random = [...rest.matchAll(WORD)].map(([word]) => word).filter(seemsRandom);
    return [...formed, ...random.map((word) => ({ what: "a random string", text: word }))].map((one) => ({
      line: at + 1,
      ...one,
    }));
  });
}

// --- internal ---

/** As their makers document them. */
const FORMS: [what: string, form: RegExp][] = [
  ["a private key", /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----/g],
  ["a key of AWS", /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g],
  ["a token of GitHub", /\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{82})\b/g],
  ["a token of GitLab", /\bglpat-[\w-]{20}/g],
  ["a token of Slack", /\bxox[abprs]-[\w-]{10,}/g],
  ["a key of Google", /\bAIza[\w-]{35}/g],
  ["a token of npm", /\bnpm_[A-Za-z0-9]{36}\b/g],
  ["a token of PyPI", /\bpypi-AgE[\w-]{50,}/g],
  ["a key of Stripe", /\b[rs]k_live_[0-9a-zA-Z]{24,}/g],
  ["a key of a model service", /\bsk-(?:ant|proj|svcacct)-[\w-]{20,}/g],
  ["a JSON web token", /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}/g],
  ["a password in a URL", /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@"'`$]{1,100}:[^\s/@"'`$<[]{3,100}@[a-z0-9[]/gi],
];

/** What a random string is written with; dots, colons and spaces part them. */
const WORD = /[A-Za-z0-9+/_=-]{20,}/g;
const UUID = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/gi;
/** Fewer of them is nothing to guess from. */
const [HEX_LENGTH, LENGTH] = [32, 24];
/** Bits a character: random hex of 32 has 3.1 at the least in a million, random Base64 of 24 has 3.6; words have less. */
const [HEX_BITS, BITS] = [3, 3.6];
/** Of all places where a letter meets one of another kind: random Base64 has more than every third, `aVeryLongName2` few. */
const CHANGES = 0.35;
/** So many small letters, capitals and digits each: `postV2RoutesById` has one digit. */
const EACH = 2;

function seemsRandom(word: string): boolean {
  const text = word.replaceAll(UUID, "").replace(/^[=/_-]+|[=/_-]+$/g, "");
  if (/^[0-9a-f]+$|^[0-9A-F]+$/.test(text))
    return text.length >= HEX_LENGTH && /[a-f]/i.test(text) && bitsOf(text) >= HEX_BITS;
  const isMixed = [/[a-z]/g, /[A-Z]/g, /\d/g].every((kind) => (text.match(kind)?.length ?? 0) >= EACH);
  return isMixed && text.length >= LENGTH && bitsOf(text) >= BITS && changesIn(text) >= CHANGES;
}

/** Shannon's entropy of its characters. */
function bitsOf(text: string): number {
  const counts = new Map<string, number>();
  for (const one of text) counts.set(one, (counts.get(one) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum - (count / text.length) * Math.log2(count / text.length), 0);
}

function changesIn(text: string): number {
  const kinds = text
    .split("")
    .map((one) => (/[a-z]/.test(one) ? "a" : /[A-Z]/.test(one) ? "A" : /\d/.test(one) ? "0" : "-"));
  return kinds.filter((kind, at) => at > 0 && kind !== kinds[at - 1]).length / (kinds.length - 1);
}
