/**
 * Request bodies: JSON only, at most 1 MiB and 32 levels deep. Read as text before anything else is known about
 * the request, decoded after it was authenticated (access.ts), so that a stranger learns nothing from a bad body.
 */
import { Failure } from "../../shared/failure.ts";
import { within } from "../../shared/runtime/deadline.ts";

/** How much of a body is read, and whose may be larger. Bytes. */
export interface BodyLimits {
  small: number;
  large: number;
  /** True when the caller has proved the api_secret: only then the large limit counts. */
  isTrusted: () => Promise<boolean>;
}

/** A body that only drips would hold a connection, and a stop, for ever. */
const BODY_TIMEOUT_MS = 10_000;
const MAX_DEPTH = 32;

/** A body as it was received. */
export class RawBody {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** The JSON value. Throws invalid-api-params. */
  decode(): unknown {
    const value = parse(this.text);
    if (depth(value) > MAX_DEPTH)
      throw new Failure("invalid-api-params", `body: wanted at most ${MAX_DEPTH} levels of nesting`);
    return value;
  }
}

/** Reads a body, and no more of it than is allowed. Throws payload-too-large. */
export async function readBody(request: Request, limits: BodyLimits): Promise<RawBody> {
  const reader = request.body?.getReader();
  if (reader === undefined) return new RawBody("");
  const announced = request.headers.has("content-length") ? Number(request.headers.get("content-length")) : null;
  // Calls about thousands of endpoints or routes are the Manager's.
  const mayBeLarge = announced === null || announced > limits.small;
  const limit = mayBeLarge && (await limits.isTrusted()) ? limits.large : limits.small;
  if (announced !== null && announced > limit) throw tooLarge(limit, `${announced} bytes`);
  const text = await within(BODY_TIMEOUT_MS, readText(reader, limit));
  if (text !== undefined) return new RawBody(text);
  reader.cancel().catch(() => undefined); // the connection is gone already
  throw new Failure("invalid-api-params", `body: wanted all of it within ${BODY_TIMEOUT_MS / 1000} s`);
}

// --- internal ---

async function readText(
  reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">,
  limit: number,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    size += read.value.byteLength;
    if (size > limit) {
      await reader.cancel();
      throw tooLarge(limit, "more");
    }
    chunks.push(read.value);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Failure("invalid-api-params", { msg: "body: wanted JSON, got something else", cause: error });
  }
}

function tooLarge(limit: number, got: string): Failure {
  return new Failure("payload-too-large", `body: wanted at most ${limit} bytes, got ${got}`);
}

/** By layers, not by recursion: a body can be deeper than the stack. Only what holds something is kept: of a stranger's 1 MiB too. */
function depth(value: unknown): number {
  let level = 0;
  for (let layer = isContainer(value) ? [value] : []; layer.length > 0 && level <= MAX_DEPTH; level++) {
    const next: object[] = [];
    for (const one of layer) keepContainers(Array.isArray(one) ? (one as unknown[]) : Object.values(one), next);
    layer = next;
  }
  return level;
}

function keepContainers(values: readonly unknown[], kept: object[]): void {
  for (const value of values) if (isContainer(value)) kept.push(value);
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
