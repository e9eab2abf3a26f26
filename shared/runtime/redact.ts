/**
 * What of a text may stand in a log. Every line of a service goes through `safeRecord` (log.ts), so a new line can't forget it:
 * of queries, fragments and a path's parameters only the names stay, tokens in paths go, and characters that a terminal or an
 * editor would obey are escaped. It errs towards hiding. Linear in the length of the text, whatever that is. Pure.
 */

/** A record as it may be written: all its texts redacted, names too. */
export function safeRecord(record: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [redactText(name), safeValue(value)]));
}

/** A whole URL, or path and query: all that follows a `?` is its query, also after a space. */
export function redactUrl(url: string): string {
  return redactWord(url);
}

/** A text in which URLs may stand anywhere: each ends with the white space after it. */
export function redactText(text: string): string {
  if (!SUSPICIOUS.test(text)) return text;
  // A failed JSON.parse names a word of what it was given.
  return text
    .replaceAll(/(Unexpected identifier )"[^"]*"/g, `$1${HIDDEN}`)
    .replaceAll(/[^ \t\r\n]+/g, (word) => (SUSPICIOUS.test(word) ? redactWord(word) : word));
}

/**
 * Escapes, as JSON does, what is neither seen nor part of a line: DEL and C1 controls (a terminal may obey them), other ends of
 * lines, marks that turn the order of a line round, halves of characters. C0 controls are JSON's own to escape.
 */
export function escapeUnseen(text: string): string {
  return text.replaceAll(UNSEEN, escaped);
}

/** As `escapeUnseen`, with the C0 controls, for a text that stands in no JSON. */
export function escapeControls(text: string): string {
  return escapeUnseen(text.replaceAll(/[\u0000-\u001f]/g, escaped));
}

/** A message of several lines to whoever starts a service. */
export function safeMessage(text: string): string {
  return escapeUnseen(redactText(text).replaceAll(/[\u0000-\u0008\u000b-\u001f]/g, escaped));
}

// --- internal ---

const HIDDEN = "…";

/** Without any of these there is nothing to hide. */
const SUSPICIOUS = /[?#&;%=@\\]|eyJ|v3\.|worker1\.|proxy|Unexpected identifier/i;
const UNSEEN = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/gu;

/** Percent signs may be escaped themselves, any number of times: `%3F`, `%253F`. */
const QUERY = /\?|%(?:25)*3f/i;
const FRAGMENT = /#|%(?:25)*23/i;
const ASSIGNED = /=|%(?:25)*3d/i;
const BETWEEN_PARTS = /([&;?#]|%(?:25)*(?:26|3b|3f|23))/i;
const BETWEEN_SEGMENTS = /([/\\]|%(?:25)*(?:2f|5c))/i;
const PARAMETERS = /[&;]|%(?:25)*(?:26|3b)/i;
/** What is longer, or has other characters, may be a value without a name. */
const NAME = /^[\w.~%[\]$-]{1,30}$/;
/** Names that mean a secret also where no query is seen. */
const SECRET =
  /^["'([{]*(?:\w{0,20}token|auth|permit_key|api_?key|\w{0,20}secret|passw(?:or)?d|sig|signature|code|t)$/i;

/** A JWT or one of our tickets, whole or cut (they begin with `{"` in Base64), a permit, or a worker's own secret. */
const TOKEN = /eyJ[\w-]{6}|v3\.[\w-]{40}|worker1\.[\w-]{1,1020}\.[\w-]{43}/;
const UUID = /^[0-9a-f-]{32,36}$/i;

function safeValue(value: unknown): unknown {
  if (typeof value === "string") return redactText(value);
  if (Array.isArray(value)) return value.map(safeValue);
  return typeof value === "object" && value !== null ? safeRecord(value) : value;
}

function escaped(one: string): string {
  return `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function redactWord(word: string): string {
  const [at, length] = queryIn(word);
  const path = redactPath(word.slice(0, at));
  return at === word.length ? path : path + word.slice(at, at + length) + redactQuery(word.slice(at + length));
}

/** Where a query or fragment begins, and how long its mark is; at the end of the word when there is none. */
function queryIn(word: string): [at: number, length: number] {
  const query = QUERY.exec(word);
  const fragment = FRAGMENT.exec(word);
  // `#5` is a number, `Later.#run` a method; a fragment belongs to a path, or has values.
  const counts =
    fragment !== null &&
    fragment.index < (query?.index ?? word.length) &&
    (ASSIGNED.test(word.slice(fragment.index)) || word.slice(0, fragment.index).includes("/"));
  const mark = counts ? fragment : query;
  return mark === null ? [word.length, 0] : [mark.index, mark[0].length];
}

function redactQuery(query: string): string {
  const end = query.length - closingLength(query);
  const shown = query
    .slice(0, end)
    .split(BETWEEN_PARTS)
    // The odd ones are what stands between.
    .map((part, at) => (at % 2 === 1 || part === "" ? part : redactPart(part)));
  return shown.join("") + query.slice(end);
}

/** Of what stands behind a URL in a sentence: a quote, a bracket, a full stop. */
function closingLength(text: string): number {
  let length = 0;
  while (length < 3 && length < text.length && `"')]}>,.:`.includes(text[text.length - 1 - length] ?? " ")) length++;
  return length;
}

function redactPart(part: string): string {
  const name = part.slice(0, ASSIGNED.exec(part)?.index ?? 0);
  return NAME.test(name) ? `${name}=${HIDDEN}` : HIDDEN;
}

function redactPath(path: string): string {
  let [behind, whole] = ["", ""];
  let state: State = "any";
  let isProxy = false;
  const pieces = path.split(BETWEEN_SEGMENTS);
  for (const [at, piece] of pieces.entries()) {
    if (at % 2 === 1) {
      whole += piece;
      continue;
    }
    const plain = decoded(piece);
    const isToken =
      (state === "token" && !IN_PLACE_OF_TOKEN.has(plain.toLowerCase())) ||
      (state === "session" && !IN_PLACE_OF_SESSION.test(plain)) ||
      (isProxy && UUID.test(plain));
    whole += isToken || mustGo(piece, plain) ? HIDDEN : redactSegment(piece, behind);
    state = stateAfter(plain.toLowerCase(), state);
    // Whatever follows there in the form of a token may be one.
    isProxy ||= state === "token";
    behind = piece === "" && at > 0 ? "authority" : "";
  }
  return whole;
}

/** What the segments before say of the next one. */
type State = "any" | "version" | "token" | "session";

/** What follows `/v2/proxy/` where no token does, and what stands for no segment at all. */
const IN_PLACE_OF_TOKEN = new Set(["auth", "", ".", ".."]);
/** What may follow the token where no session does. A session has a token's form: who takes one for the other must not tell it. */
const IN_PLACE_OF_SESSION = /^(add|delete|\.{0,2}|…)$/i;

/** In `/v2/proxy/TOKEN/SESSION/add` every segment may be the token until one was seen that has its form. */
function stateAfter(plain: string, state: State): State {
  if (plain === "" || plain === "." || plain === "..") return state;
  if (state === "token") return plain === "auth" ? "any" : plain === HIDDEN || UUID.test(plain) ? "session" : "token";
  if (plain === "proxy" && state === "version") return "token";
  return plain === "v1" || plain === "v2" ? "version" : "any";
}

/** A token, or what was escaped in a way that nobody means well. */
function mustGo(piece: string, plain: string): boolean {
  return TOKEN.test(plain) || (plain !== piece && /[/\\?#]|%[2-7][0-9a-f]/i.test(plain));
}

/** As a message says what is wanted: nobody's. */
const WANTED = "[:password@]";

/** A segment without its parameters (`;a=1`), and without who is named before a host (`//user:password@host`). */
function redactSegment(segment: string, behind: string): string {
  const name = segment.slice(0, ASSIGNED.exec(segment)?.index ?? 0);
  if (SECRET.test(decoded(name))) return `${name}=${HIDDEN}`;
  const parameters = PARAMETERS.exec(segment);
  const isCut = parameters !== null && parameters.index + parameters[0].length < segment.length;
  const shown = isCut ? segment.slice(0, parameters.index + parameters[0].length) + HIDDEN : segment;
  const user = behind === "authority" && !shown.startsWith(WANTED) ? shown.lastIndexOf("@") : -1;
  return user === -1 ? shown : HIDDEN + shown.slice(user);
}

/** More rounds of escapes than any client, proxy and app have together. */
const ROUNDS = 5;

/** ASCII without its percent escapes, as deep as they are nested. */
function decoded(text: string): string {
  let plain = text;
  for (let round = 0; round < ROUNDS && plain.includes("%"); round++)
    plain = plain.replaceAll(/%([2-7][0-9a-f])/gi, (_whole, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return plain;
}
