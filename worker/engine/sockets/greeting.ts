/**
 * The begin of a TLS connection: its ClientHello is awaited in the clear (RFC 8446 §4.1.2), also in pieces, then the socket
 * becomes TLS with the certificate that is valid at that moment. So a renewal needs no second listener.
 */
import type { TlsPair } from "../../../shared/runtime/tls.ts";
import { HANDLERS, type Accepted } from "./accepted.ts";
import { deadlines, type Limited } from "../../net/deadlines.ts";

/** From the connection to the end of the handshake. Milliseconds. */
const HANDSHAKE_MS = 10_000;
/** RFC 8446 §5.1: the longest record, with its head. */
const MAX_RECORD = 5 + 16_384;
/** The content type of a record with a handshake message. */
const HANDSHAKE = 22;
/** ALPN (RFC 7301): all that is spoken here. */
const ALPN = Buffer.from("\x08http/1.1", "latin1");

const NOTHING = Buffer.alloc(0);

/** What Bun's types leave out. */
interface Upgradable {
  upgradeTLS(options: {
    isServer: true;
    initialData: Buffer;
    allowHalfOpen: true;
    tls: TlsPair & { ALPNProtocols: Buffer };
    data: Accepted;
    socket: Bun.SocketHandler<Accepted>;
  }): [raw: Bun.Socket<Accepted>, secure: Bun.Socket<Accepted>];
}

export class Greeting implements Accepted, Limited {
  deadline = performance.now() + HANDSHAKE_MS;
  readonly #socket: Bun.Socket<Accepted>;
  readonly #pair: () => TlsPair;
  /** Makes the owner of the TLS socket once it is open. */
  readonly #greeted: (socket: Bun.Socket<Accepted>) => Accepted;
  readonly #over: (greeting: Greeting, isDone: boolean) => void;
  #held: Buffer = NOTHING;
  /** The socket as TLS, once it is: the plain one can't be ended any more. */
  #secure: Bun.Socket<Accepted> | null = null;
  #isOver = false;

  constructor(
    socket: Bun.Socket<Accepted>,
    pair: () => TlsPair,
    greeted: (socket: Bun.Socket<Accepted>) => Accepted,
    over: (greeting: Greeting, isDone: boolean) => void,
  ) {
    this.#socket = socket;
    this.#pair = pair;
    this.#greeted = greeted;
    this.#over = over;
    deadlines.add(this);
  }

  said(bytes: Buffer): void {
    // Afterwards the ciphertext is told too.
    if (this.#secure !== null) return;
    this.#held = Buffer.concat([this.#held, bytes]);
    if (this.#held[0] !== HANDSHAKE || this.#held.length > MAX_RECORD) return this.terminate();
    if (this.#held.length < 5 || this.#held.length < 5 + this.#held.readUInt16BE(3)) return;
    // The types know the call for clients alone.
    [, this.#secure] = (this.#socket as unknown as Upgradable).upgradeTLS({
      isServer: true,
      initialData: this.#held,
      allowHalfOpen: true,
      tls: { ...this.#pair(), ALPNProtocols: ALPN },
      data: this,
      socket: TLS_HANDLERS,
    });
    // Bun has it by now.
    this.#held = NOTHING;
  }

  /** The handshake is over. */
  shaken(socket: Bun.Socket<Accepted>, isDone: boolean): void {
    if (!isDone) {
      socket.terminate();
      return;
    }
    this.#finish(true);
    socket.data = this.#greeted(socket);
  }

  drained(): void {}

  ended(): void {
    this.terminate();
  }

  gone(): void {
    this.#finish(false);
  }

  late(): void {
    this.terminate();
  }

  terminate(): void {
    this.#finish(false);
    (this.#secure ?? this.#socket).terminate();
  }

  // --- internal ---

  /** `isDone`: the handshake is, and the connection goes on. The first time counts. */
  #finish(isDone: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    deadlines.delete(this);
    this.#over(this, isDone);
  }
}

// --- internal ---

/** The same for all: handlers of its own would live as long as each connection. */
const TLS_HANDLERS: Bun.SocketHandler<Accepted> = {
  ...HANDLERS,
  handshake: (socket, isDone) => {
    if (socket.data instanceof Greeting) socket.data.shaken(socket, isDone);
  },
};
