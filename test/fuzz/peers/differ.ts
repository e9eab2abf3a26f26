/**
 * Compares what the proxy accepts of a stream with what two others make of it. A message that both of them refuse, or whose
 * body ends elsewhere for both of them, is a fault. Where one of them is known to mind what is no attack, it says nothing.
 */
import { METHODS } from "node:http";
import type { Stream } from "../make/streams.ts";
import { LAST } from "../make/streams.ts";
import { readAnswers } from "../model/answers.ts";
import { valuesOf } from "../model/fields.ts";
import { readRequests, type Request } from "../model/requests.ts";
import { quoted } from "../run/streams.ts";
import { connect } from "../run/wires.ts";
import { toldOf, type Peer } from "./peers.ts";

/** A peer that waits for more is not waited for. Milliseconds. */
const WAIT_MS = 600;

/** Gives what is wrong, a line each. */
export async function differences(peers: readonly Peer[], { bytes }: Pick<Stream, "bytes">): Promise<string[]> {
  const accepted = forApp(bytes);
  const told = await Promise.all(peers.map((peer) => tellings(peer, bytes, accepted)));
  const at = accepted.findIndex((request, at) => {
    if (told.some((one) => one[at] === toldOf(request))) return false;
    const text = bytes.slice(accepted[at - 1]?.end ?? 0, request.end);
    return !MINDED.some((minds) => minds(request, text));
  });
  const request = accepted[at];
  if (request === undefined) return [];
  // Perhaps each of them minded an earlier message, and not the same one: this one alone.
  const alone = bytes.slice(accepted[at - 1]?.end ?? 0, request.end) + (request.goesOn ? LAST : "");
  const again = await Promise.all(peers.map((peer) => tellings(peer, alone, forApp(alone))));
  if (again.some(([first]) => first === toldOf(request))) return [];
  return [`${quoted(alone)}: accepted as ${toldOf(request)}; ${again.map(([first], index) => `${peers[index]?.name}: ${first ?? "nothing"}`).join(", ")}`]; // prettier-ignore
}

// --- internal ---

/** What one of them minds though it is no attack: RFC 9110 §5.6.3 and RFC 9112 §2.3, §7.1.1 have these. */
const MINDED: ((request: Request, text: string) => boolean)[] = [
  // llhttp: methods that it does not know, minor versions above 1, a tab behind a length, spaces before a chunk's extension.
  ({ method }) => !METHODS.includes(method),
  (_, text) => /^[^\r]* HTTP\/1\.[2-9]\r\n/m.test(text),
  (_, text) => /^(content-length|transfer-encoding):[^\r]*\t *\r/im.test(text),
  (_, text) => /\n[0-9a-f]+[ \t]+;/i.test(text),
  // HAProxy: content where HTTP/1.0 had none.
  ({ method, minor, body }) => minor === 0 && body !== "" && ["GET", "HEAD", "DELETE"].includes(method),
  // Both: bytes above 127 in a target. They pass here on purpose (worker/protocols/http1/head.ts).
  ({ target }) => /[\x80-\xff]/.test(target),
];

/** Those that reach an app, up to the first that does not: others treat that one in their own ways. */
function forApp(bytes: string): Request[] {
  const { requests } = readRequests(bytes);
  const end = requests.findIndex(({ refusedWith }) => refusedWith !== null);
  return end === -1 ? requests : requests.slice(0, end);
}

/** What a peer took each request for; a status where it refused it, undefined where it said nothing. */
async function tellings({ to }: Peer, bytes: string, requests: readonly Request[]): Promise<(string | undefined)[]> {
  if (requests.length === 0) return [];
  const wire = await connect(to);
  const methods = requests.map(({ method }) => method);
  // A refusal of theirs ends with its connection.
  const finals = (text: string) => readAnswers(text, methods, wire.ended === "end").answers;
  await wire.write(bytes, []);
  await wire.until((text) => finals(text).length >= requests.length, WAIT_MS);
  wire.reset();
  return finals(wire.text).map(({ fields, status }) => valuesOf(fields, "x-told")[0] ?? String(status));
}
