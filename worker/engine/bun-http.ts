/**
 * One HTTP exchange over `fetch`: the request to the app, streamed, and its answer back. Called by bun.ts with what the
 * core has decided. Nothing is decoded, followed, kept or sent twice.
 */
import { reason } from "../../shared/failure.ts";
import { endsHere } from "../headers.ts";
import type { ConnectWatch, Waiting } from "./dial.ts";
import { UpstreamFault, type Forward, type HeaderEdits, type Passage } from "./engine.ts";

/** A fault with the passage it happened on: it may not be the first that was tried. */
export class Faulted extends Error {
  readonly fault: UpstreamFault;
  readonly passage: Passage;

  constructor(fault: UpstreamFault, passage: Passage) {
    super(fault.message, { cause: fault });
    this.fault = fault;
    this.passage = passage;
  }
}

/** Forwards a request. Rejects with Faulted, also when the client has left. */
export async function forward(request: Request, target: string, to: Forward, watch: ConnectWatch): Promise<Response> {
  for (let { passage } = to; ;) {
    try {
      return await exchange(request, target, to, passage, watch);
    } catch (error) {
      const fault = faultOf(error);
      if (fault.kind === "unreachable" || fault.kind === "late") passage.failed();
      // Nothing has reached the app, and there is no body that may be half gone.
      const other = fault.kind === "unreachable" && request.body === null ? passage.elsewhere() : null;
      passage.release();
      if (other === null) throw new Faulted(fault, passage);
      passage = other;
    }
  }
}

/** A host for a URL: IPv6 addresses in brackets. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The app's answer headers as the client gets them: the same object, edited, because a copy costs more than the rest. */
export function answerHeaders(headers: Headers, to: Forward): Headers {
  const ends = endsHere(headers.get("connection"));
  const dropped: string[] = [];
  for (const name of headers.keys()) if (ends(name)) dropped.push(name);
  for (const name of dropped) headers.delete(name);
  if (headers.has("set-cookie")) guardCookies(headers, to);
  for (const [name, value] of to.answerHeaders) headers.append(name, value);
  return headers;
}

// --- internal ---

/** `fetch` repeats GET, HEAD, DELETE and OPTIONS when a connection that it reuses is reset. For the first two HTTP allows it. */
const NEVER_REPEATED = new Set(["DELETE", "OPTIONS"]);

function guardCookies(headers: Headers, { cookie }: Forward): void {
  const lines = headers.getSetCookie();
  headers.delete("set-cookie");
  for (const line of lines) {
    const passed = cookie(line);
    if (passed !== null) headers.append("set-cookie", passed);
  }
}

function requestHeaders(from: Headers, { remove, set }: HeaderEdits): Headers {
  const headers = new Headers(from);
  for (const name of remove) headers.delete(name);
  for (const [name, value] of set) headers.set(name, value);
  return headers;
}

async function exchange(
  request: Request,
  target: string,
  to: Forward,
  passage: Passage,
  watch: ConnectWatch,
): Promise<Response> {
  const control = new AbortController();
  const leave = () => control.abort();
  request.signal.addEventListener("abort", leave, { once: true });
  passage.stop = () => control.abort(new UpstreamFault("revoked", "its route is gone"));
  const waiting: Waiting = {
    host: passage.host,
    port: passage.port,
    since: performance.now(),
    late: () => control.abort(new UpstreamFault("late", "no connection within the limit")),
  };
  watch.add(waiting);
  try {
    const { body } = request;
    const upstream = await fetch(`http://${bracketed(passage.host)}:${passage.port}${target}`, {
      method: request.method,
      headers: requestHeaders(request.headers, to.edits),
      body: body === null ? null : metered(body, passage.moved),
      redirect: "manual",
      decompress: false,
      keepalive: !NEVER_REPEATED.has(request.method),
      signal: control.signal,
      // Bun ends a silent answer after five minutes otherwise.
      timeout: false,
    } as RequestInit);
    passage.reached();
    passage.moved();
    return await answer(upstream, to, passage);
  } catch (error) {
    throw control.signal.reason instanceof UpstreamFault ? control.signal.reason : error;
  } finally {
    watch.done(waiting);
  }
}

/**
 * The answer for the client. `Bun.serve` completes a head only with the first byte of its body, so waiting for that byte
 * costs nothing, and a body that is whole by then keeps its Content-Length.
 */
async function answer(upstream: Response, to: Forward, passage: Passage): Promise<Response> {
  const { status, statusText, body } = upstream;
  if (status < 200 || status > 599) {
    await body?.cancel();
    throw new Error(`the app answered with status ${status}, which Bun.serve cannot pass on`);
  }
  const headers = answerHeaders(upstream.headers, to);
  const reader = body?.getReader();
  const first = await reader?.read();
  if (reader === undefined || first === undefined || first.done || isWhole(first.value, headers)) {
    passage.release();
    return new Response(first?.value ?? null, { status, statusText, headers });
  }
  return new Response(rest(first.value, reader, passage), { status, statusText, headers });
}

/** Without a Content-Type, Bun would invent one for bytes that it has at once. */
function isWhole(bytes: Uint8Array, headers: Headers): boolean {
  return headers.get("content-length") === String(bytes.byteLength) && headers.has("content-type");
}

type Reader = Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;

/** What was read and what follows. The passage ends with it. */
function rest(first: Uint8Array, reader: Reader, passage: Passage): ReadableStream<Uint8Array> {
  let held: Uint8Array | null = first;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (held !== null) {
          controller.enqueue(held);
          held = null;
          return;
        }
        try {
          const { done, value } = await reader.read();
          if (!done) {
            passage.moved();
            return controller.enqueue(value);
          }
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        passage.release();
      },
      cancel(why) {
        passage.release();
        return reader.cancel(why);
      },
    },
    { highWaterMark: 0 },
  );
}

/** The same stream; `moved` is told of every chunk, so that a long one does not look like silence. */
function metered(body: ReadableStream<Uint8Array>, moved: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        moved();
        controller.enqueue(value);
      },
      cancel: (why) => reader.cancel(why),
    },
    { highWaterMark: 0 },
  );
}

const UNREACHABLE = new Set(["ConnectionRefused", "FailedToOpenSocket", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"]);

function faultOf(error: unknown): UpstreamFault {
  if (error instanceof UpstreamFault) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const isUnreachable = UNREACHABLE.has(code) || code.startsWith("ENOTFOUND") || code.startsWith("DNS_");
  return new UpstreamFault(isUnreachable ? "unreachable" : "broken", reason(error), error);
}
