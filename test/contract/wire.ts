/**
 * One end of a TCP connection that tells exactly what came and how it ended: used as client (client.ts) and as app
 * (upstreams.ts). Half-open: a FIN from the other side does not close this one. Every wait is bounded.
 */
import { readBody, readHead, type Body, type Head } from "./message.ts";
import type { End } from "./shapes.ts";

const WAIT_MS = 30_000;

/** All that were made and are not closed: what a failed test left open would keep its worker from stopping. */
const open = new Set<Wire>();

export function closeWires(): void {
  for (const wire of open) wire.reset();
  open.clear();
}

export class Wire {
  /** Bytes that came, whether they were read from here or not. */
  received = 0;
  /** How the other side ended; null while it has not. */
  ended: End | null = null;
  /** True when nothing can be sent either. */
  closed = false;
  #socket: Bun.Socket<Wire>;
  /** What was not read yet. */
  #parts: Buffer[] = [];
  #length = 0;
  #sink: ((bytes: Buffer) => void) | null = null;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Bun.Socket<Wire>) {
    this.#socket = socket;
    open.add(this);
  }

  /** The port of this end. */
  get port(): number {
    return this.#socket.localPort;
  }

  /** Sends bytes (text as latin1); resolves when the kernel has them all. Rejects when the connection is gone. */
  async send(bytes: string | Uint8Array): Promise<void> {
    let rest = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
    while (rest.length > 0) {
      const sent = this.closed ? -1 : this.#socket.write(rest);
      if (sent < 0) throw new Error("the connection is gone");
      rest = rest.subarray(sent);
      if (rest.length > 0) await this.#change(90_000, "the other side to read");
    }
  }

  /** The head of the next message. */
  head(): Promise<Head> {
    return readHead(this);
  }

  /** The body that belongs to a head, with the framing that was seen. `method` is that of the request it answers. */
  body(head: Head, method = "GET"): Promise<Body> {
    return readBody(this, head, method);
  }

  /** What has come and was not read yet, as latin1. */
  text(): string {
    return this.#whole().toString("latin1");
  }

  /** Everything that comes until the other side ends. */
  async rest(ms = WAIT_MS): Promise<Buffer> {
    await this.wait(() => this.ended !== null, "the other side to end", ms);
    return this.take(this.#length);
  }

  /** Takes `count` bytes, or fewer when the other side ends before. */
  async read(count: number): Promise<Buffer> {
    await this.wait(() => this.#length >= count || this.ended !== null, `${count} bytes`);
    return this.take(Math.min(count, this.#length));
  }

  /** Takes everything up to and including `mark`; null when the other side ends before. */
  async readThrough(mark: string): Promise<string | null> {
    let at = -1;
    const look = () => (at = this.#whole().indexOf(mark, 0, "latin1")) !== -1 || this.ended !== null;
    await this.wait(look, JSON.stringify(mark));
    return at === -1 ? null : this.take(at + mark.length).toString("latin1");
  }

  /** Bytes that came and were not read. */
  take(count: number): Buffer {
    const whole = this.#whole();
    this.#parts = [whole.subarray(count)];
    this.#length = whole.length - count;
    return whole.subarray(0, count);
  }

  /** From now on bytes go to `sink` and are not kept. */
  stream(sink: (bytes: Buffer) => void): void {
    this.#sink = sink;
    if (this.#length > 0) sink(this.take(this.#length));
  }

  /** FIN: nothing more comes from here, but the other side may go on. */
  finish(): void {
    this.#socket.shutdown();
  }

  /** Closes in good order. */
  close(): void {
    this.#socket.end();
  }

  /** RST. */
  reset(): void {
    this.#socket.terminate();
  }

  /** Stops reading: the other side finds its way blocked when the kernel's buffers are full. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Resolves with how the other side ended. */
  async end(ms = WAIT_MS): Promise<End> {
    await this.wait(() => this.ended !== null, "the other side to end", ms);
    return this.ended ?? "reset";
  }

  /** Resolves when `holds` does; looked at whenever something comes. Rejects after `ms`. */
  async wait(holds: () => boolean, what: string, ms = WAIT_MS): Promise<void> {
    const until = performance.now() + ms;
    while (!holds()) await this.#change(Math.max(0, until - performance.now()), what);
  }

  /** For the handlers below only. */
  heard(bytes: Buffer | null, ended: End | null, closed: boolean): void {
    if (bytes !== null) {
      this.received += bytes.length;
      if (this.#sink !== null) this.#sink(bytes);
      else {
        this.#parts.push(bytes);
        this.#length += bytes.length;
      }
    }
    this.ended ??= ended;
    this.closed ||= closed;
    if (closed) open.delete(this);
    for (const wake of this.#waiting) wake();
  }

  // --- internal ---

  #whole(): Buffer {
    const whole = this.#parts.length === 1 ? this.#parts[0] : undefined;
    if (whole !== undefined) return whole;
    const joined = Buffer.concat(this.#parts);
    this.#parts = [joined];
    return joined;
  }

  #change(ms: number, what: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const late = () =>
      reject(new Error(`waited in vain for ${what}; have ${JSON.stringify(this.text().slice(0, 300))}`));
    const timer = setTimeout(late, ms);
    this.#waiting.add(resolve);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(resolve);
    });
  }
}

/** What Bun's sockets tell goes to the wire in `socket.data`. */
export const wireHandlers: Bun.SocketHandler<Wire> = {
  data: ({ data }, bytes) => data.heard(bytes, null, false),
  drain: ({ data }) => data.heard(null, null, false),
  end: ({ data }) => data.heard(null, "end", false),
  // An error is given when the other side broke the connection; none after its FIN or our own close.
  close: ({ data }, error) => data.heard(null, error === undefined ? "end" : "reset", true),
  error: ({ data }) => data.heard(null, "reset", true),
};
