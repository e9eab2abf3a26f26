/**
 * The handshake of a WebSocket with an app (RFC 6455 §4.1): dials, asks, and gives the open socket, or the app's refusal
 * as it comes. Used by the engine's websocket.ts. Offers no extensions.
 */
import { randomBytes } from "node:crypto";
import { reason } from "../../../shared/failure.ts";
import { assertAccepted } from "./acceptance.ts";
import { AppSocket, type AppEnd } from "./client.ts";
import type { Connections } from "../../net/connections.ts";
import { dial } from "../../net/dial.ts";
import { strayError } from "../../net/stray-error.ts";
import type { Target } from "../../net/targets.ts";
import { UpstreamFault } from "../../net/upstream-fault.ts";
import { AnswerReader, type AnswerHead } from "../http1/response-reader.ts";

/** Longer than browsers wait (Chrome: 240 s). Milliseconds. */
const HANDSHAKE_LIMIT_MS = 300_000;

/** The app's answer. */
export type Answer =
  | { kind: "open"; socket: AppSocket; head: AnswerHead }
  | { kind: "refused"; head: AnswerHead; body: ReadableStream<Uint8Array> };

export interface Asking {
  to: Target;
  target: string;
  headers: readonly [string, string][];
  /** Above so many unsent bytes a sender is held back. */
  highWater: number;
  /** The app has accepted the connection. */
  connected: () => void;
  /** Where it counts when it is given up. */
  connections?: Connections;
}

/** `answer` rejects with an UpstreamFault. `stop` gives it up, also in the middle of a refusal. */
export function shakeHands(asking: Asking): { answer: Promise<Answer>; stop: () => void } {
  const end = new Handshake(asking);
  const { to, connections } = asking;
  const dialled = dial<AppEnd>(to, end, HANDLERS, connections === undefined ? {} : { connections });
  dialled.socket.then(asking.connected, (fault: UpstreamFault) => end.fail(fault));
  const timer = setTimeout(() => end.fail(broken("no answer to the handshake in time")), HANDSHAKE_LIMIT_MS);
  const stop = () => {
    end.fail(new UpstreamFault("revoked", "given up"));
    dialled.cancel();
  };
  return { answer: end.answer.finally(() => clearTimeout(timer)), stop };
}

// --- internal ---

class Handshake implements AppEnd {
  readonly #asking: Asking;
  readonly #key = randomBytes(16).toString("base64");
  readonly #answer = Promise.withResolvers<Answer>();
  readonly #reader: AnswerReader;
  #unsent: Buffer;
  #socket: Bun.Socket<AppEnd> | null = null;
  #accepted: AnswerHead | null = null;
  #body: ReadableStreamDefaultController<Uint8Array> | null = null;
  #over = false;

  constructor(asking: Asking) {
    this.#asking = asking;
    this.#unsent = Buffer.from(requestHead(asking, this.#key), "latin1");
    this.#reader = new AnswerReader({
      head: (head) => this.#head(head),
      body: (bytes) => this.#bodyPart(bytes),
      end: () => this.#bodyEnd(),
    });
  }

  get answer(): Promise<Answer> {
    return this.#answer.promise;
  }

  /** Before the app has answered, or in the middle of a refusal. */
  fail(fault: UpstreamFault): void {
    if (this.#over) return;
    this.#answer.reject(fault);
    this.#body?.error(fault);
    this.#finish();
    this.#socket?.terminate();
  }

  onOpen(socket: Bun.Socket<AppEnd>): void {
    this.#socket = socket;
    if (this.#over) socket.terminate();
    else this.onDrain();
  }

  onDrain(): void {
    if (this.#unsent.length === 0 || this.#socket === null) return;
    this.#unsent = this.#unsent.subarray(Math.max(0, this.#socket.write(this.#unsent)));
  }

  onData(bytes: Buffer): void {
    if (this.#over) return;
    try {
      const rest = this.#reader.read(bytes);
      if (this.#accepted !== null) this.#open(this.#accepted, rest);
    } catch (error) {
      this.fail(broken(reason(error), error));
    }
  }

  onEnd(): void {
    try {
      this.#reader.ended();
    } catch (error) {
      this.fail(broken(reason(error), error));
    }
  }

  onClose(): void {
    // Without a socket the connection did not come about, which `dial` tells.
    if (this.#socket !== null) this.fail(broken("the app broke the connection"));
  }

  // --- internal: accepted ---

  /** Gives true to go on with a body. */
  #head(head: AnswerHead): boolean {
    if (head.status === 101) {
      const asked = (name: string) => (name === "sec-websocket-key" ? this.#key : null);
      assertAccepted((name) => head.headers.get(name), asked);
      this.#accepted = head;
      return false;
    }
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#body = controller),
        pull: () => this.#socket?.resume(),
        cancel: () => this.fail(broken("nobody reads the refusal")),
      },
      { highWaterMark: this.#asking.highWater, size: (chunk) => chunk?.byteLength ?? 0 },
    );
    this.#answer.resolve({ kind: "refused", head, body });
    return true;
  }

  #open(head: AnswerHead, rest: Buffer | null): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#finish();
    socket.pause();
    const opened = new AppSocket(socket, Buffer.from(rest ?? []), this.#asking.highWater);
    socket.data = opened;
    this.#answer.resolve({ kind: "open", socket: opened, head });
  }

  // --- internal: refused ---

  #bodyPart(bytes: Buffer): void {
    if (this.#body === null) return;
    this.#body.enqueue(new Uint8Array(bytes));
    if ((this.#body.desiredSize ?? 0) <= 0) this.#socket?.pause();
  }

  #bodyEnd(): void {
    this.#body?.close();
    this.#finish();
    this.#socket?.end();
  }

  #finish(): void {
    this.#over = true;
    this.#body = null;
  }
}

const HANDLERS: Bun.SocketHandler<AppEnd> = {
  open: (socket) => socket.data.onOpen?.(socket),
  data: ({ data }, bytes) => data.onData(bytes),
  drain: ({ data }) => data.onDrain(),
  end: ({ data }) => data.onEnd(),
  close: ({ data }) => data.onClose(),
  error: strayError,
};

function broken(message: string, cause?: unknown): UpstreamFault {
  return new UpstreamFault("broken", message, cause);
}

/** An upgrade has no body: with a Content-Length the app would take the first frames for one. */
const NOT_SENT = new Set(["content-length", "expect"]);

function requestHead({ target, headers }: Asking, key: string): string {
  const own: [string, string][] = [
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", key],
  ];
  const lines = [...headers.filter(([name]) => !NOT_SENT.has(name.toLowerCase())), ...own];
  return `GET ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}
