/** Client connections that write bytes in pieces, and tell what came and how it ended. Fewer promises than contract/wire.ts: these are made by the million. */
import type { Socket } from "bun";

/** Nothing takes longer that is not stuck. Milliseconds. */
const STUCK_MS = 20_000;

export type End = "end" | "reset" | "stuck";

export class FuzzWire {
  /** What came, one character a byte. */
  text = "";
  /** How it ended; null while it has not. */
  ended: End | null = null;
  #socket: Socket<FuzzWire> | null = null;
  #unsent: Buffer | null = null;
  /** Called when something came, when there is room, and when it has ended. */
  #wake: () => void = () => undefined;

  /** Text so far that `holds` is asked about, whenever something comes; false when it has ended or is stuck before. */
  async until(holds: (text: string) => boolean, ms = STUCK_MS): Promise<boolean> {
    if (holds(this.text)) return true;
    if (this.ended !== null) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), ms);
    this.#wake = () => {
      if (holds(this.text)) resolve(true);
      else if (this.ended !== null) resolve(false);
    };
    const result = await promise;
    clearTimeout(timer);
    this.#wake = () => undefined;
    return result;
  }

  /** Writes bytes, cut at these places; between two pieces a turn of the event loop passes. */
  async write(bytes: string, cuts: readonly number[]): Promise<void> {
    let from = 0;
    for (const to of [...cuts, bytes.length]) {
      if (this.ended !== null || to <= from) continue;
      if (from > 0) await turn();
      await this.#send(Buffer.from(bytes.slice(from, to), "latin1"));
      from = to;
    }
  }

  /** FIN; what comes is still read. */
  finish(): void {
    this.#socket?.shutdown();
  }

  /** RST. */
  reset(): void {
    this.#socket?.terminate();
  }

  /** Waits for the other side's end. */
  async end(ms = STUCK_MS): Promise<End> {
    await this.until(() => false, ms);
    if (this.ended === null) {
      this.ended = "stuck";
      this.reset();
    }
    return this.ended;
  }

  // --- for the handlers below ---

  opened(socket: Socket<FuzzWire>): void {
    this.#socket = socket;
    socket.setNoDelay(true);
  }

  heard(bytes: Buffer): void {
    this.text += bytes.toString("latin1");
    this.#wake();
  }

  drained(): void {
    const bytes = this.#unsent;
    if (bytes === null) return;
    this.#push(bytes);
    if (this.#unsent === null) this.#wake();
  }

  over(how: End): void {
    this.ended ??= how;
    if (how === "end") this.#socket?.end();
    this.#wake();
  }

  // --- internal ---

  async #send(bytes: Buffer): Promise<void> {
    this.#push(bytes);
    if (this.#unsent !== null) await this.until(() => this.#unsent === null);
  }

  #push(bytes: Buffer): void {
    const sent = Math.max(0, this.#socket?.write(bytes) ?? 0);
    this.#unsent = sent < bytes.length ? bytes.subarray(sent) : null;
  }
}

/** A connection to a port of loopback, or to a socket in the file system. */
export async function connect(to: { port: number } | { unix: string }): Promise<FuzzWire> {
  const wire = new FuzzWire();
  const handlers = { data: wire, allowHalfOpen: true, socket: HANDLERS };
  if ("unix" in to) await Bun.connect<FuzzWire>({ ...handlers, unix: to.unix });
  else await Bun.connect<FuzzWire>({ ...handlers, hostname: "127.0.0.1", port: to.port });
  return wire;
}

/** A turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// --- internal ---

const HANDLERS: Bun.SocketHandler<FuzzWire> = {
  open: (socket) => socket.data.opened(socket),
  data: ({ data }, bytes) => data.heard(bytes),
  drain: ({ data }) => data.drained(),
  end: ({ data }) => data.over("end"),
  close: ({ data }, error) => data.over(error === undefined || error === null ? "end" : "reset"),
  error: ({ data }) => data.over("reset"),
};
