/**
 * Texts that take a pattern long if anything does: what it wants, again and again, with something between that it does not
 * want, and a wrong end. Made from the pattern's own parts.
 */

/** Pieces: a text is `head`, then `piece` as often as fits, then an end that nothing matches. */
export interface Attack {
  head: string;
  piece: string;
}

const GENERAL = ["a", "0", " ", "-", ".", "/", "%", ";", "=", ",", ":", '"', "\n", "\\", "é"];
/** Of each kind, for patterns of many parts. */
const MOST = 24;

export function attacksOn(source: string): Attack[] {
  const samples = samplesOf(source);
  const prefixes = few(samples.flatMap((sample) => [...sample].map((_, at) => sample.slice(0, at + 1))));
  const atoms = few([...GENERAL, ...atomsOf(source)]);
  const pieces = new Set([...atoms, ...prefixes]);
  for (const one of atoms) {
    for (const other of atoms) pieces.add(one + other);
    for (const prefix of prefixes) pieces.add(one + prefix).add(prefix + one);
  }
  const attacks = [...pieces].map((piece) => ({ head: "", piece }));
  for (const head of ["x", ...prefixes]) for (const piece of atoms) attacks.push({ head, piece });
  return attacks;
}

export function textOf({ head, piece }: Attack, length: number): string {
  return `${(head + piece.repeat(Math.ceil(length / piece.length))).slice(0, length)}\u0000`;
}

// --- internal ---

function few(all: string[]): string[] {
  return [...new Set(all)].slice(0, MOST);
}

/** All characters that stand for themselves, and one of each class that is named. */
function atomsOf(source: string): string[] {
  const plain = source.replaceAll(/\\u\{?([0-9a-f]{4,6})\}?|\\x([0-9a-f]{2})/gi, (_, wide: string | undefined, narrow: string | undefined) => String.fromCodePoint(parseInt(wide ?? narrow ?? "0", 16))); // prettier-ignore
  return [...plain.replaceAll(/\\[tnrsdw]/g, (name) => CLASSES[name] ?? "").replaceAll(/[\\()[\]{}^$*+?|]/g, "")];
}

const CLASSES: Record<string, string> = { "\\t": "\t", "\\n": "\n", "\\r": "\r", "\\s": " ", "\\d": "0", "\\w": "a" };

/** Some texts that the pattern matches, or nearly: a repeated part once, each alternative. */
function samplesOf(source: string): string[] {
  let at = 0;

  function alternatives(): string[] {
    const all: string[] = [];
    do all.push(...sequence());
    while (source[at] === "|" && at++ >= 0);
    return few(all);
  }

  function sequence(): string[] {
    let texts = [""];
    while (at < source.length && source[at] !== "|" && source[at] !== ")") {
      const part = quantified(atom());
      texts = few(texts.flatMap((text) => part.map((more) => text + more)));
    }
    return texts;
  }

  function atom(): string[] {
    const char = source[at++] ?? "";
    if (char === "(") return group();
    if (char === "[") return [classSample()];
    if (char === "\\") return [escapeSample()];
    if (char === "^" || char === "$") return [""];
    return [char === "." ? "x" : char];
  }

  function group(): string[] {
    const kind = /^\?(?:<[^>=!]*>|<?[:=!])/.exec(source.slice(at))?.[0] ?? "";
    at += kind.length;
    const texts = alternatives();
    at++; // its bracket
    return /[=!]$/.test(kind) ? [""] : texts;
  }

  function classSample(): string {
    const start = at;
    while (at < source.length && source[at] !== "]") at += source[at] === "\\" ? 2 : 1;
    const inside = source.slice(start, at++);
    const members = ["a", "0", "-", " ", "/", "A", "!", ".", ":", "\u0000", "é", inside[0] ?? ""];
    return members.find((one) => matches(`[${inside}]`, one)) ?? "";
  }

  function escapeSample(): string {
    const rest = source.slice(at);
    const long = /^(?:u\{[0-9a-f]+\}|u[0-9a-f]{4}|x[0-9a-f]{2}|[pP]\{[^}]*\})/i.exec(rest)?.[0] ?? rest.slice(0, 1);
    at += long.length;
    if (/^[bB]$/.test(long)) return "";
    return ["a", "0", " ", "é", "\t", "\n", "\r", long].find((one) => matches(`\\${long}`, one)) ?? "";
  }

  function quantified(texts: string[]): string[] {
    const mark = /^(?:[*+?]|\{(\d+)(?:,\d*)?\})\??/.exec(source.slice(at));
    if (mark === null) return texts;
    at += mark[0].length;
    return texts.map((text) => text.repeat(Math.max(1, Math.min(64, Number(mark[1] ?? 1)))));
  }

  return alternatives();
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(`^${pattern}$`, "u").test(text);
  } catch {
    return new RegExp(`^${pattern}$`).test(text); // escapes that the flag does not allow
  }
}
