/** The secrets of a run: marks that were made for one place each, and real ones. Finds them in texts, however they are written. */

export interface Secret {
  /** Where it was put, or what it is. */
  place: string;
  /** A user's own, which may reach their app; all others are the platform's. */
  isUsers: boolean;
}

/** Where one was found. */
export interface Finding extends Secret {
  /** What stands before it, and it with what follows. */
  before: string;
  there: string;
}

/** All marks begin so: letters and digits in which no text is written. */
const MARK = "Zq7f3a9";
/** The same with letters alone, as a word may be. */
const WORD_MARK = "Zqxfwavk";
/** Of a real secret its begin and its end are looked for, so many characters each: a log may cut it. */
const WINDOW = 16;

export class Secrets {
  readonly #marks = new Map<string, Secret>();
  readonly #needles = new Map<string, Secret>();
  readonly #unreadable: Secret = { place: "a mark that was cut", isUsers: false };
  #made = 0;

  /** A new mark for a place: 20 characters that are good in every message. `letters`: a word, as a password may be. */
  mark(place: string, { isUsers = false, letters = false } = {}): string {
    const id = digits(this.#made++, letters);
    this.#marks.set(`${letters ? WORD_MARK : MARK}${id}`.toLowerCase(), { place, isUsers });
    return `${letters ? WORD_MARK : MARK}${id}${letters ? "qzjxkw" : "q9Zj7x"}`;
  }

  /** Adds a real one: what of it is worth something, as of a token its signature. */
  real(place: string, value: string): string {
    if (value.length < WINDOW) throw new Error(`${place}: wanted at least ${WINDOW} characters, got ${value.length}`);
    for (const part of [value.slice(0, WINDOW), value.slice(-WINDOW)])
      this.#needles.set(part, { place, isUsers: false });
    return value;
  }

  /** Looks for all of them at once, as they are now. */
  finder(): Finder {
    const finder = new Finder();
    for (const begin of [MARK, WORD_MARK]) {
      const read = (text: string, at: number) =>
        this.#marks.get(text.slice(at, at + begin.length + ID_LENGTH).toLowerCase()) ?? this.#unreadable;
      for (const form of plain(begin)) finder.add(form, read);
      for (const form of disguised(begin)) {
        finder.add(form, (text, at) => {
          for (const inside of undisguised(text, at)) {
            const from = inside.toLowerCase().indexOf(begin.toLowerCase());
            if (from !== -1) return read(inside, from);
          }
          return this.#unreadable;
        });
      }
    }
    for (const [value, secret] of this.#needles)
      for (const form of [...plain(value), ...disguised(value)]) finder.add(form, () => secret);
    return finder;
  }
}

type Named = (text: string, at: number) => Secret;

/** Many texts looked for in one pass: what begins with the same four characters is compared. */
export class Finder {
  readonly #byBegin = new Map<string, { needle: string; named: Named }[]>();
  /** Whether anything begins with four such characters, by a hash of them: most places of a text are passed over so. */
  readonly #begins = new Uint8Array(1 << 20);

  add(needle: string, named: Named): void {
    const begin = needle.slice(0, 4);
    this.#byBegin.set(begin, [...(this.#byBegin.get(begin) ?? []), { needle, named }]);
    this.#begins[hashAt(needle, 0)] = 1;
  }

  /** All that is in a text, in each of its forms: as it is, and without its escapes as deep as they are nested. */
  find(text: string): Finding[] {
    const found = new Map<string, Finding>();
    for (const form of forms(text)) for (const one of this.#findIn(form)) found.set(`${one.place} ${one.before}`, one);
    return [...found.values()];
  }

  *#findIn(text: string): Iterable<Finding> {
    const lower = text.toLowerCase();
    for (let at = 0; at + 4 <= lower.length; at++) {
      if (this.#begins[hashAt(lower, at)] === 0) continue;
      for (const { needle, named } of this.#byBegin.get(lower.slice(at, at + 4)) ?? [])
        if (lower.startsWith(needle, at))
          yield {
            ...named(text, at),
            before: text.slice(Math.max(0, at - BEFORE), at),
            there: text.slice(at, at + needle.length + 20),
          };
    }
  }
}

// --- internal ---

const ID_LENGTH = 6;

/** The number in digits of base 20 or 36, as long for each. */
function digits(number: number, letters: boolean): string {
  const id = number.toString(letters ? 20 : 36).padStart(ID_LENGTH, "0");
  return letters ? id.replaceAll(/\d/g, (digit) => "klmnopqrst"[Number(digit)] ?? "k") : id;
}

/** As it is, and as a UUID may be written. In small letters, as all that is looked for. */
function plain(value: string): string[] {
  const lower = value.toLowerCase();
  return lower.includes("-") ? [lower, lower.replaceAll("-", "")] : [lower];
}

/** In hexadecimal, whatever its case, and in Base64 at each of the three places that it may have in what was encoded. */
function disguised(value: string): string[] {
  const bytes = Buffer.from(value);
  const base64 = [0, 1, 2].flatMap((skip) => {
    const text = Buffer.concat([Buffer.alloc(skip), bytes]).toString("base64");
    // The characters at the edges depend on what stands beside it.
    const whole = text.slice(Math.ceil((skip * 8) / 6), Math.floor(((skip + bytes.length) * 8) / 6));
    return [whole, whole.replaceAll("+", "-").replaceAll("/", "_")];
  });
  return [...new Set([bytes.toString("hex"), ...base64.map((text) => text.toLowerCase())])];
}

/** What the word at a place may stand for: hexadecimal, or Base64 that begins up to three characters before. */
function undisguised(text: string, at: number): string[] {
  const from = at - (/[\w+/-]*$/.exec(text.slice(Math.max(0, at - MAX_WORD), at))?.[0].length ?? 0);
  const word = /^[\w+/-]*/.exec(text.slice(from, at + MAX_WORD))?.[0] ?? "";
  const base64 = [0, 1, 2, 3].map((skip) => Buffer.from(word.slice(skip), "base64").toString("latin1"));
  return [Buffer.from(word, "hex").toString("latin1"), Buffer.from(word.slice(1), "hex").toString("latin1"), ...base64];
}

/** Longer ones than tokens are. */
const MAX_WORD = 2000;

function hashAt(text: string, at: number): number {
  const [a, b, c, d] = [text.charCodeAt(at), text.charCodeAt(at + 1), text.charCodeAt(at + 2), text.charCodeAt(at + 3)];
  return (
    (Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ Math.imul(d, 0x27d4eb2f)) >>> 12
  );
}

/** How much of what stands before is told. */
const BEFORE = 200;

/** Escapes may be nested: a URL in a query in a JSON text. */
const ROUNDS = 3;

function* forms(text: string): Iterable<string> {
  let form = text;
  yield form;
  for (let round = 0; round < ROUNDS; round++) {
    const next = unescaped(form);
    if (next === form) return;
    yield (form = next);
  }
}

/** One level less of percent signs, JSON's and HTML's escapes, in whatever mixture. */
function unescaped(text: string): string {
  return text.replaceAll(
    /%([0-9a-f]{2})|\\(?:u00|x)([0-9a-f]{2})|&#x([0-9a-f]{2});|\\(["\\/])/gi,
    (_whole, ...[percent, json, html, plainly]: (string | undefined)[]) =>
      plainly ?? String.fromCharCode(parseInt(percent ?? json ?? html ?? "", 16)),
  );
}
