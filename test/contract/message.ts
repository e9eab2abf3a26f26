/** HTTP/1.1 messages as they stand on the wire: nothing is joined, decoded or forgiven. Used by wire.ts. */
import type { End } from "./shapes.ts";

/** Where messages are read from: a wire. */
export interface Source {
  readonly ended: End | null;
  text(): string;
  read(count: number): Promise<Buffer>;
  readThrough(mark: string): Promise<string | null>;
  rest(): Promise<Buffer>;
}

/** The head of a request or an answer. */
export interface Head {
  /** The first line: `GET / HTTP/1.1` or `HTTP/1.1 200 OK`. */
  line: string;
  /** Of an answer; 0 for a request. */
  status: number;
  /** The reason phrase of an answer. */
  reason: string;
  /** Method and target of a request. */
  method: string;
  target: string;
  /** Header lines in their order and case. */
  pairs: [name: string, value: string][];
  /** The value of a header's first line, or null. */
  get(name: string): string | null;
  /** The values of all lines of that name. */
  all(name: string): string[];
}

export interface Body {
  bytes: Buffer;
  /** How its end was marked. */
  framing: "none" | "length" | "chunked" | "close";
  /** False when the connection ended before the body did. */
  complete: boolean;
  /** Sizes of the chunks. */
  chunks: number[];
  sha256: string;
}

/** Reads a head. Rejects when the connection ends before it is complete. */
export async function readHead(wire: Source): Promise<Head> {
  const text = await wire.readThrough("\r\n\r\n");
  if (text === null)
    throw new Error(`the connection ended (${wire.ended}) within a head: ${JSON.stringify(wire.text())}`);
  return parseHead(text.slice(0, -4));
}

/** Reads the body that belongs to a head. */
export async function readBody(wire: Source, head: Head, method: string): Promise<Body> {
  const none =
    head.status > 0 && (method === "HEAD" || head.status < 200 || head.status === 204 || head.status === 304);
  if (none) return body(Buffer.alloc(0), "none", true);
  if (head.get("transfer-encoding")?.toLowerCase() === "chunked") return readChunks(wire);
  const length = head.get("content-length");
  if (length !== null) {
    const bytes = await wire.read(Number(length));
    return body(bytes, "length", bytes.length === Number(length));
  }
  if (head.status === 0) return body(Buffer.alloc(0), "none", true);
  return body(await wire.rest(), "close", wire.ended === "end");
}

export function parseHead(text: string): Head {
  const [line = "", ...lines] = text.split("\r\n");
  const pairs = lines.map((one): [string, string] => {
    const at = one.indexOf(":");
    return [one.slice(0, at), one.slice(at + 1).trim()];
  });
  const [first = "", second = "", ...more] = line.split(" ");
  const answer = first.startsWith("HTTP/");
  const all = (name: string) =>
    pairs.filter(([one]) => one.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  return {
    line,
    status: answer ? Number(second) : 0,
    reason: answer ? more.join(" ") : "",
    method: answer ? "" : first,
    target: answer ? "" : second,
    pairs,
    all,
    get: (name) => all(name)[0] ?? null,
  };
}

/** One chunk of a chunked body; an empty one ends it. */
export function chunk(bytes: string | Uint8Array): Buffer {
  const content = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from("\r\n")]);
}

export function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

// --- internal ---

async function readChunks(wire: Source): Promise<Body> {
  const parts: Buffer[] = [];
  const done = (complete: boolean) =>
    body(
      Buffer.concat(parts),
      "chunked",
      complete,
      parts.map(({ length }) => length),
    );
  for (;;) {
    const line = await wire.readThrough("\r\n");
    if (line === null) return done(false);
    const size = Number.parseInt(line, 16);
    if (Number.isNaN(size)) throw new Error(`no chunk size: ${JSON.stringify(line)}`);
    const bytes = await wire.read(size);
    if (bytes.length > 0) parts.push(bytes);
    if (size === 0) return done(await endOfTrailers(wire));
    if (bytes.length < size || (await wire.readThrough("\r\n")) === null) return done(false);
  }
}

/** True when they are whole. */
async function endOfTrailers(wire: Source): Promise<boolean> {
  for (;;) {
    const line = await wire.readThrough("\r\n");
    if (line === null || line === "\r\n") return line !== null;
  }
}

function body(bytes: Buffer, framing: Body["framing"], complete: boolean, chunks: number[] = []): Body {
  return { bytes, framing, complete, chunks, sha256: sha256(bytes) };
}
