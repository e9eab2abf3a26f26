/**
 * The field lines of a head or of trailers, as they came (RFC 9112 §5): order, case and repeats stay, so that what is not
 * changed is passed on as it is. One character is one byte (latin1). Made by head.ts; knows no rule of what may pass.
 */
import type { AnswerLines, HeaderEdits } from "../../seam/engine.ts";

export class FieldLines implements AnswerLines {
  /** `Name: value` and CRLF, line by line. */
  readonly text: string;
  /** In lower case, a line each. */
  readonly names: readonly string[];
  /** Where each line begins, and where the last one ends. */
  readonly #starts: readonly number[];
  #isKept = false;
  #editedBy: HeaderEdits | null = null;
  #edited = "";

  /** `starts` has one place more than there are names. */
  constructor(text: string, names: readonly string[], starts: readonly number[]) {
    this.text = text;
    this.names = names;
    this.#starts = starts;
  }

  /** They are there for other heads of the same text: what is worked out of them is worth keeping. */
  get isKept(): boolean {
    return this.#isKept;
  }

  kept(): this {
    this.#isKept = true;
    return this;
  }

  /** How many lines have this name, in lower case. */
  count(name: string): number {
    let count = 0;
    for (const one of this.names) if (one === name) count++;
    return count;
  }

  /** All values of a name as one (RFC 9110 §5.3), cookies as RFC 6265 has them; null when there is none. */
  get(name: string): string | null {
    let joined: string | null = null;
    for (let at = this.names.indexOf(name); at !== -1; at = this.names.indexOf(name, at + 1)) {
      const value = this.#valueAt(at);
      joined = joined === null ? value : `${joined}${name === "cookie" ? "; " : ", "}${value}`;
    }
    return joined;
  }

  /** The values of a name, a line each. */
  all(name: string): string[] {
    return this.names.flatMap((one, at) => (one === name ? [this.#valueAt(at)] : []));
  }

  /** Names in lower case with their values, a line each. */
  pairs(): [name: string, value: string][] {
    return this.names.map((name, at) => [name, this.#valueAt(at)]);
  }

  /** All names, each once. */
  keys(): Iterable<string> {
    // A set costs more than all comparisons of a usual head.
    if (this.names.length > FEW) return new Set(this.names);
    return this.names.filter((name, at) => this.names.indexOf(name) === at);
  }

  getSetCookie(): string[] {
    return this.all("set-cookie");
  }

  /**
   * The lines after changes: what is set stands where its first line stood, or last; what is added comes last. Throws for a
   * value that is not one line of bytes.
   */
  edited(edits: HeaderEdits): string {
    if (!this.#isKept) return this.#edit(edits);
    if (this.#editedBy !== edits) {
      this.#edited = this.#edit(edits);
      this.#editedBy = edits;
    }
    return this.#edited;
  }

  /** The lines of those names that `passes` lets through. */
  only(passes: (name: string) => boolean): string {
    return this.names
      .map((name, at) => (passes(name) ? this.text.slice(this.#starts[at], this.#starts[at + 1]) : ""))
      .join("");
  }

  // --- internal ---

  #edit({ remove, set, add }: HeaderEdits): string {
    const isRemoved = among(remove);
    /** Those of `set` that stand where their name's first line stood. */
    const placed = new Set<readonly [name: string, value: string]>();
    let out = "";
    let kept = 0;
    for (let at = 0; at < this.names.length; at++) {
      const name = this.names[at] ?? "";
      const change = set.find((line) => isNamed(line[0], name));
      if (change === undefined && !isRemoved(name)) continue;
      out += this.text.slice(kept, this.#starts[at]);
      kept = this.#starts[at + 1] ?? this.text.length;
      if (change === undefined || placed.has(change)) continue;
      placed.add(change);
      out += fieldLine(this.#nameAt(at), change[1]);
    }
    out += this.text.slice(kept);
    for (const line of set) if (!placed.has(line)) out += fieldLine(...line);
    for (const [name, value] of add) out += fieldLine(name, value);
    return out;
  }

  #nameAt(at: number): string {
    const start = this.#starts[at] ?? 0;
    return this.text.slice(start, start + (this.names[at]?.length ?? 0));
  }

  #valueAt(at: number): string {
    const start = (this.#starts[at] ?? 0) + (this.names[at]?.length ?? 0) + 1;
    return withoutSpace(this.text, start, (this.#starts[at + 1] ?? this.text.length) - 2);
  }
}

/**
 * A header line of ours, with its CRLF. Throws for a value that is not one line of bytes: a character above 0xff would be cut
 * to one byte, which may be the end of the line.
 */
export function fieldLine(name: string, value: string): string {
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) throw new Error(`${name}: its value can't stand in a header line`);
  return `${name}: ${value}\r\n`;
}

/** RFC 9110 §5.6.3: OWS is spaces and tabs, and not what `trim` takes besides, such as a byte of UTF-8 that is 0xa0. */
export function withoutSpace(text: string, from = 0, to = text.length): string {
  let start = from;
  let end = to;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (start < end && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

// --- internal ---

/** Of more than these a set is worth its making. */
const FEW = 32;

/** Tells whether a name is one of these. */
function among(names: readonly string[]): (name: string) => boolean {
  if (names.length <= FEW) return (name) => names.includes(name);
  const all = new Set(names);
  return (name) => all.has(name);
}

/** `lower`: in lower case. */
function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && name.toLowerCase() === lower;
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9;
}
