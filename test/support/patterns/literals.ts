/** All patterns in a TypeScript source: regular expression literals, found by reading its tokens as far as that needs. */

export interface Literal {
  source: string;
  flags: string;
  line: number;
}

/** What may stand before a `/` that divides: a value. Words that are none stand in WORDS. */
const VALUE_END = /[\w$)\]"'`]/;
const WORDS = new Set(["return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "await", "yield"]); // prettier-ignore

export function literalsOf(text: string): Literal[] {
  const found: Literal[] = [];
  /** For each `${` that is open: how many braces are open inside it. */
  const templates: number[] = [];
  let at = 0;
  let last = "";
  while (at < text.length) {
    const char = text[at] ?? "";
    const two = text.slice(at, at + 2);
    if (two === "//") at = endOf(text, "\n", at);
    else if (two === "/*") at = endOf(text, "*/", at + 2) + 2;
    else if (char === '"' || char === "'") [at, last] = [closed(text, at, char) + 1, char];
    else if (char === "`" || (char === "}" && templates.at(-1) === 0)) {
      if (char === "}") templates.pop();
      const end = templatePart(text, at + 1);
      if (text[end] === "$") templates.push(0);
      [at, last] = text[end] === "$" ? [end + 2, "("] : [end + 1, "`"];
    } else if (char === "/" && !divides(text, at, last)) {
      const end = regexEnd(text, at);
      const flags = /^[a-z]*/.exec(text.slice(end + 1, end + 12))?.[0] ?? "";
      found.push({ source: text.slice(at + 1, end), flags, line: text.slice(0, at).split("\n").length });
      [at, last] = [end + 1 + flags.length, ")"];
    } else {
      const open = templates.length - 1;
      if (char === "{" && open >= 0) templates[open] = (templates[open] ?? 0) + 1;
      if (char === "}" && open >= 0) templates[open] = (templates[open] ?? 0) - 1;
      if (char.trim() !== "") last = char;
      at++;
    }
  }
  return found;
}

// --- internal ---

function endOf(text: string, what: string, from: number): number {
  const end = text.indexOf(what, from);
  return end === -1 ? text.length : end;
}

/** Where the quote is closed that opens at `at`. */
function closed(text: string, at: number, quote: string): number {
  let end = at + 1;
  while (end < text.length && text[end] !== quote) end += text[end] === "\\" ? 2 : 1;
  return end;
}

/** Where this part of a template ends: at its backtick, or at the `$` of a `${`. */
function templatePart(text: string, from: number): number {
  let end = from;
  while (end < text.length && text[end] !== "`" && text.slice(end, end + 2) !== "${") end += text[end] === "\\" ? 2 : 1;
  return end;
}

function divides(text: string, at: number, last: string): boolean {
  if (!VALUE_END.test(last)) return false;
  const before = text.slice(Math.max(0, at - 20), at).trimEnd();
  return !WORDS.has(/[\w$]*$/.exec(before)?.[0] ?? "");
}

function regexEnd(text: string, at: number): number {
  let inClass = false;
  let end = at + 1;
  for (; end < text.length; end++) {
    const char = text[end];
    if (char === "\\") end++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "/" && !inClass) break;
  }
  return end;
}
