/**
 * WebSockets as a load: round trips, one-way messages, and many that say nothing. Run by load.ts. Frames are of one
 * known size, so that they can be counted without being taken apart.
 */
import { randomBytes } from "node:crypto";
import { sumUp } from "./measure.ts";

export interface WebSocketOptions {
  port: number;
  host: string;
  cookie: string;
  connections: number;
  /** How long is measured. */
  seconds: number;
}

const PAYLOAD = 64;
/** A client's frames are masked: 2 bytes head, 4 bytes mask. A server's have the 2 bytes alone. RFC 6455 §5.2. */
const FRAME = frame();
const ANSWER_BYTES = 2 + PAYLOAD;
const TEXT_HEAD = [0x81, PAYLOAD] as const;
/** Before anything is counted. */
export const WARM_UP_MS = 300;
/** Handshakes under way at once. */
const OPENING = 100;

/** Each connection sends its next message when the last one has come back. */
export async function loadEcho(options: WebSocketOptions): Promise<object> {
  const times: number[] = [];
  let measuring = false;
  const all = await openAll(options, "/echo", (socket) => {
    let sent = performance.now();
    let missing = ANSWER_BYTES;
    socket.write(FRAME);
    return (bytes) => {
      missing -= bytes.length;
      if (missing > 0) return;
      const now = performance.now();
      if (measuring) times.push(now - sent);
      missing = ANSWER_BYTES;
      sent = now;
      socket.write(FRAME);
    };
  });
  await Bun.sleep(WARM_UP_MS);
  const began = performance.now();
  measuring = true;
  await Bun.sleep(options.seconds * 1000);
  measuring = false;
  const figure = sumUp("echo", options.connections, times, performance.now() - began);
  for (const socket of all) socket.terminate();
  return figure;
}

/** The app sends as fast as it can. */
export async function loadFlood(options: WebSocketOptions): Promise<object> {
  let received = 0;
  const all = await openAll(options, "/flood", (socket) => {
    let at = 0;
    socket.write(FRAME);
    return (bytes) => {
      received += bytes.length;
      // The first head in this chunk tells whether frames are still whole and of the known kind.
      const head = (ANSWER_BYTES - (at % ANSWER_BYTES)) % ANSWER_BYTES;
      at += bytes.length;
      if (head + 3 >= bytes.length || isText(bytes, head)) return;
      // A proxy's ping stood between two messages.
      if (!isText(bytes, head + PING_BYTES))
        throw new Error(`frame expected, got ${bytes.subarray(head, head + 8).toString("hex")}`);
      at -= PING_BYTES;
    };
  });
  await Bun.sleep(WARM_UP_MS);
  const [began, before] = [performance.now(), received];
  await Bun.sleep(options.seconds * 1000);
  const perSecond = ((received - before) / ANSWER_BYTES / (performance.now() - began)) * 1000;
  for (const socket of all) socket.terminate();
  return { perSecond };
}

/** A ping without content, from a server. */
const PING_BYTES = 2;

function isText(bytes: Buffer, at: number): boolean {
  return bytes[at] === TEXT_HEAD[0] && bytes[at + 1] === TEXT_HEAD[1];
}

/** Opens them and leaves them open. */
export async function openIdle(options: WebSocketOptions): Promise<object> {
  const all = await openAll(options, "/echo", () => () => undefined);
  return { opened: all.length };
}

// --- internal ---

type Hear = (bytes: Buffer) => void;

async function openAll(
  options: WebSocketOptions,
  path: string,
  opened: (socket: Bun.Socket) => Hear,
): Promise<Bun.Socket[]> {
  const sockets: Bun.Socket[] = [];
  let left = options.connections;
  async function opener(): Promise<void> {
    while (left-- > 0) sockets.push(await open(options, path, opened));
  }
  await Promise.all(Array.from({ length: OPENING }, opener));
  return sockets;
}

/** Resolves when the 101 has come. A connection that closes later ends the whole load. */
async function open(
  options: WebSocketOptions,
  path: string,
  opened: (socket: Bun.Socket) => Hear,
): Promise<Bun.Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Bun.Socket>();
  let head = "";
  let hear: Hear | null = null;
  await Bun.connect({
    hostname: "127.0.0.1",
    port: options.port,
    socket: {
      open: (socket) => void socket.write(handshake(options, path)),
      data(socket, bytes) {
        if (hear !== null) return hear(bytes);
        head += bytes.toString("latin1");
        if (!head.includes("\r\n\r\n")) return;
        if (!head.startsWith("HTTP/1.1 101 ")) return reject(new Error(`no WebSocket: ${head.slice(0, 300)}`));
        hear = opened(socket);
        resolve(socket);
      },
      close: () => reject(new Error(`closed in the handshake: ${head}`)),
      error: (_socket, error) => reject(error),
    },
  });
  return promise;
}

function handshake({ host, cookie }: WebSocketOptions, path: string): string {
  const key = randomBytes(16).toString("base64");
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}`;
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\n${upgrade}\r\n\r\n`;
}

/** A text of 64 letters under a mask of zeros, which leaves it as it is. */
function frame(): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | PAYLOAD, 0, 0, 0, 0]), Buffer.alloc(PAYLOAD, "x")]);
}
