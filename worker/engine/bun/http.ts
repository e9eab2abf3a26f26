/**
 * One HTTP exchange over `fetch`: the request to the app, streamed, and its answer back. Called by engine.ts with what the
 * core has decided. Nothing is decoded, followed, kept or sent twice.
 */
import { reason } from "../../../shared/failure.ts";
import { hostPort } from "../../../shared/values.ts";
import { Patience, type ServedClient } from "./served-client.ts";
import { HeadWatch, type Waiting } from "./head-watch.ts";
import { noteDialled } from "../../net/dialled.ts";
import { forgetAddress, oneAddress } from "../../net/one-address.ts";
import { UpstreamFault } from "../../net/upstream-fault.ts";
import type { Attempt, Forward, HeaderEdits } from "../../seam/engine.ts";

/** A fault with the attempt it happened on: it may not be the first that was tried. */
export class Faulted extends Error {
  readonly fault: UpstreamFault;
  readonly attempt: Attempt;

  constructor(fault: UpstreamFault, attempt: Attempt) {
    super(fault.message, { cause: fault });
    this.fault = fault;
    this.attempt = attempt;
  }
}

/**
 * Forwards a request. `failed` makes the answer for what went wrong. One async
 * function for the whole way: each one more costs every request its promises.
 */
export async function forward<C>(
  request: Request,
  target: string,
  to: Forward<C>,
  failed: (error: unknown) => Response,
  client: ServedClient,
): Promise<Response> {
  for (let { attempt } = to; ;) {
    const exchange = new Exchange(request, attempt, client);
    watch.add(exchange);
    try {
      const answer = await exchange.ask(target, to.edits);
      exchange.answered();
      const { status, statusText } = answer;
      const headers = headersOf(answer, to);
      const reader = answer.body?.getReader();
      // Bun.serve completes a head only with the first byte of its body, so waiting for that byte costs nothing, and a
      // body that is whole by then keeps its Content-Length.
      const first = await reader?.read();
      if (first?.done === false) attempt.moved();
      if (reader === undefined || isLast(first, headers)) {
        attempt.release();
        client.hasAnswer();
        return new Response(first?.value ?? null, { status, statusText, headers });
      }
      exchange.guard();
      return new Response(answerBody(first?.value ?? null, reader, attempt, client), { status, statusText, headers });
    } catch (error) {
      if (exchange.isStalled) {
        attempt.release();
        return new Response(null, { status: 408, headers: { Connection: "close" } });
      }
      const fault = exchange.faultOf(error);
      exchange.abandon();
      const progress = { hasBody: request.body !== null, clientGone: request.signal.aborted, stale: false };
      const next = attempt.next(fault, progress);
      if (next === null) return failed(new Faulted(fault, attempt));
      attempt = next;
    } finally {
      watch.done(exchange);
    }
  }
}

/** The same object, edited: a copy costs more than all the rest of it. */
export function edit(headers: Headers, { remove, set, add }: HeaderEdits): Headers {
  for (const name of remove) headers.delete(name);
  for (const [name, value] of set) headers.set(name, value);
  for (const [name, value] of add) headers.append(name, value);
  return headers;
}

// --- internal ---

const watch = new HeadWatch();

/**
 * `fetch` repeats idempotent methods without a body (PUT and QUERY too) when a connection that it reuses is reset. For GET and
 * HEAD HTTP allows it; POST and PATCH it does not repeat. All others get connections of their own.
 */
const REUSES_CONNECTIONS = new Set(["GET", "HEAD", "POST", "PATCH"]);
/** It repeats these with a body too. */
const NEVER_REPEATED = new Set(["DELETE", "OPTIONS"]);

/** One try at an app, from the request to the end of its answer. */
class Exchange implements Waiting {
  /** Of its target, once it is chosen. */
  address = "";
  readonly port: number;
  since = 0;
  connected = false;
  /** The client has kept its app waiting for more of the body. */
  isStalled = false;
  readonly #request: Request;
  readonly #attempt: Attempt;
  readonly #client: ServedClient;
  readonly #control = new AbortController();
  #guarded = false;

  constructor(request: Request, attempt: Attempt, client: ServedClient) {
    this.port = attempt.target.port;
    this.#request = request;
    this.#attempt = attempt;
    this.#client = client;
    attempt.stop = () => this.#control.abort(new UpstreamFault("revoked", "its route is gone"));
  }

  /** Throws or rejects when its address may not be dialled, or is not found before the limit or the end of the request. */
  ask(target: string, edits: HeaderEdits): Promise<Response> {
    // An upload is under way from the start.
    if (this.#request.body !== null) this.guard();
    const address = oneAddress(this.#attempt.target, this.#control.signal);
    return address instanceof Promise
      ? address.then((found) => this.#askAt(found, target, edits))
      : this.#askAt(address, target, edits);
  }

  #askAt(host: string, target: string, edits: HeaderEdits): Promise<Response> {
    const { method, headers, body } = this.#request;
    this.address = host;
    noteDialled(host);
    return fetch(`http://${hostPort({ host, port: this.port })}${target}`, {
      method,
      headers: edit(new Headers(headers), edits),
      body: body === null ? null : metered(body, this.#attempt.moved, this.#patience()),
      redirect: "manual",
      decompress: false,
      keepalive: REUSES_CONNECTIONS.has(method) || (body !== null && !NEVER_REPEATED.has(method)),
      signal: this.#control.signal,
      // Bun ends a silent answer after five minutes otherwise.
      timeout: false,
    } as RequestInit);
  }

  /** An answer that has begun breaks off; else the client is told. */
  #patience(): Patience {
    return new Patience(this.#client.limits.bodyMs, () => {
      this.isStalled = true;
      this.#client.cut();
      this.#control.abort(new UpstreamFault("broken", "the client does not go on with its body"));
    });
  }

  /** The app's head is here. */
  answered(): void {
    this.connected = true;
    // Whether `fetch` made a connection for it is not told.
    this.#attempt.connected(true);
    this.#attempt.moved();
  }

  guard(): void {
    if (this.#guarded) return;
    this.#guarded = true;
    // Asking for the signal costs a request more than all header rules; it tells of the past too.
    const { signal } = this.#request;
    if (signal.aborted) this.#control.abort();
    else signal.addEventListener("abort", () => this.#control.abort(), { once: true });
  }

  late(): void {
    this.#control.abort(new UpstreamFault("late", "no connection within the limit"));
  }

  /** Nobody will read what may still come. */
  abandon(): void {
    this.#control.abort();
  }

  /** What an error of `ask` or of the answer's stream means; an address at which nobody is is forgotten. */
  faultOf(error: unknown): UpstreamFault {
    const { reason: why } = this.#control.signal;
    const fault = faultOf(why instanceof UpstreamFault ? why : error);
    if (fault.kind === "unreachable") forgetAddress(this.#attempt.target, this.address);
    return fault;
  }
}

/** Throws for what can't be passed on. */
function headersOf<C>({ status, headers }: Response, to: Forward<C>): Headers {
  if (status < 200 || status > 599) throw new Error(`Bun.serve cannot pass on the app's status ${status}`);
  // RFC 9112 §6.1: `fetch` takes codings that it does not undo, and shows their bytes as the body.
  const coding = headers.get("transfer-encoding");
  if (coding !== null && coding.toLowerCase() !== "chunked")
    throw new Error(`Transfer-Encoding: wanted chunked, got ${coding}`);
  to.answered?.(status);
  return edit(headers, to.answerEdits(headers, status));
}

/**
 * Whether nothing follows what was read first. Without a Content-Type, Bun would invent one for bytes that it has at once.
 */
function isLast(first: Read | undefined, headers: Headers): boolean {
  if (first?.value === undefined) return true;
  return headers.get("content-length") === String(first.value.byteLength) && headers.has("content-type");
}

interface Read {
  done: boolean;
  value?: Uint8Array | undefined;
}

/** Of `fetch` or of a stream of ours. */
interface Reader {
  read(): Promise<Read>;
  cancel(why?: unknown): Promise<void>;
}

/** What was read already and what follows, for the client. The attempt ends with it. */
export function answerBody(
  first: Uint8Array | null,
  reader: Reader,
  attempt: Attempt,
  client: ServedClient,
): ReadableStream<Uint8Array> {
  let held = first;
  // Bun asks for more when the client has taken what there was.
  const patience = new Patience(client.limits.readerMs, () => attempt.stop());
  const give = (controller: ReadableStreamDefaultController<Uint8Array>, bytes: Uint8Array) => {
    patience.waits();
    controller.enqueue(bytes);
  };
  const over = () => {
    patience.rests();
    attempt.release();
  };
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => endWith(attempt, controller, () => client.cut(), over),
      async pull(controller) {
        patience.rests();
        if (held !== null) {
          give(controller, held);
          held = null;
          return;
        }
        try {
          const { value } = await reader.read();
          if (value !== undefined) {
            attempt.moved();
            return give(controller, value);
          }
          client.hasAnswer();
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        over();
      },
      cancel(why) {
        over();
        return reader.cancel(why);
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * Ends the answer when its route goes. `cut` is for a client that does not read: it would never ask for more, and Bun closes its
 * connection by a time limit only.
 */
function endWith(
  attempt: Attempt,
  controller: ReadableStreamDefaultController<Uint8Array>,
  cut: () => void,
  over: () => void,
): void {
  const { stop } = attempt;
  attempt.stop = () => {
    cut();
    stop();
    controller.error(new UpstreamFault("revoked", "its route is gone"));
    over();
  };
}

/** The same stream; `moved` is told of every chunk, so that a long one does not look like silence. It is asked when the app waits. */
function metered(body: ReadableStream<Uint8Array>, moved: () => void, patience: Patience): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const next = async () => {
    patience.waits();
    try {
      return await reader.read();
    } finally {
      patience.rests();
    }
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await next();
        if (done) return controller.close();
        moved();
        controller.enqueue(value);
      },
      cancel(why) {
        patience.rests();
        return reader.cancel(why);
      },
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
