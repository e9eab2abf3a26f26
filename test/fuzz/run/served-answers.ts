/**
 * How a client's answer is judged behind `Bun.serve`, whose `fetch` reads answers with a parser of its own: it may refuse more than
 * the model, and takes some that the model refuses. No client ever gets bytes of another answer, or a broken one as whole.
 */
import { readAnswer } from "../model/answers.ts";
import type { Script } from "../make/answers.ts";
import type { Got } from "./answers.ts";
import { quoted } from "./streams.ts";

export function judgeServed(script: Script, { read, text, ended }: Got): string[] {
  if (ended === "stuck") return [`nothing came behind ${quoted(text)}`];
  if (read.kind !== "answer") return ended === null ? ["no answer"] : [];
  const { answer } = read;
  // RFC 9110 §15.3.6: 205 has no content that could be missing.
  if (answer.status === 502 || (answer.status === 205 && answer.body === "")) return [];
  const tokens = answer.body.match(/<\d+\/\d+>/g) ?? [];
  const foreign = tokens.filter((one) => one !== script.token && !script.bytes.includes(one));
  if (foreign.length > 0) return [`the client got another one's bytes: ${quoted(answer.body)}`];
  const said = readAnswer(script.bytes, 0, script.method, script.ending === "fin");
  if (!answer.isWhole || isReadOtherwise(script)) return [];
  if (said.kind !== "answer" || !said.answer.isWhole) return [`a broken answer came as whole: ${quoted(answer.body)}`];
  return answer.body === said.answer.body ? [] : [`the client got ${quoted(answer.body)} and not ${quoted(said.answer.body)}`]; // prettier-ignore
}

/** The same, but what `fetch` may read otherwise than the model ends with its connection: nobody waits for more of it then. */
export function endedWhereOdd(script: Script): Script {
  const { bytes, method, ending } = script;
  const said = readAnswer(bytes, 0, method, false);
  const isPlain = said.kind === "answer" && said.answer.isWhole && said.answer.end === bytes.length;
  return ending !== "keep" || (isPlain && !isReadOtherwise(script)) ? script : { ...script, ending: "fin" };
}

// --- internal ---

/**
 * What a reader may take: a bare LF for an end (RFC 9112 §2.2), a status line by its words (RFC 9112 §4), lengths that agree (RFC 9112 §6.3). And
 * what `fetch` does by its table of deviations: a reset in a body that ends with its connection is its end, chunks need no
 * last empty line, and their extensions are passed over whatever is in them.
 */
function isReadOtherwise(script: Script): boolean {
  const { bytes, ending } = script;
  if (/(^|[^\r])\n/.test(bytes) || ending === "reset") return true;
  const lines = bytes.slice(0, bytes.indexOf("\r\n\r\n")).split("\r\n").flatMap((line) => /^content-length:(.*)$/i.exec(line)?.[1]?.trim() ?? []); // prettier-ignore
  if (lines.length > 1 && new Set(lines).size === 1) return true;
  if (isWhole(bytes, script)) return false;
  const plain = bytes.replaceAll(/(?<=\r\n[\da-f]+)[ \t]*;[^\r\n]*(?=\r\n)/gi, "");
  const ways = [bytes, plain].flatMap((one) => [one, ...endedEarly(one), one.replace(/^HTTP\/1\.1[ \t]+/, "HTTP/1.1 ")]);
  return ways.some((like) => isWhole(like, script));
} // prettier-ignore

/** With an empty line behind each of what may be a last chunk. */
function endedEarly(bytes: string): string[] {
  const lasts = bytes.matchAll(/(?<=\r\n)0+[^\r\n]*\r\n/g);
  return [...lasts].map(({ index, 0: line }) => `${bytes.slice(0, index + line.length)}\r\n`);
}

function isWhole(bytes: string, { method, ending }: Script): boolean {
  const said = readAnswer(bytes, 0, method, ending === "fin");
  return said.kind === "answer" && said.answer.isWhole;
}
