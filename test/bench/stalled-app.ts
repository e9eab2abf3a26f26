/**
 * The app behind stalled and aborted connections, on raw sockets: a server of Bun's can neither stop reading a WebSocket nor
 * tell where its own memory ends. Nothing is gathered here: what the system does not take is made again later.
 */
import { createHash } from "node:crypto";

/** What `/big` gives: more than anybody on the way may hold. */
export const BIG_BYTES = 100_000_000;
const SMALL = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n${"0123456789abcdef".repeat(64)}`);
const TAKEN = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken");
const BLOCK = Buffer.alloc(256 * 1024, "x");
/** Of frames of 16 KiB from a server (RFC 6455 §5.2): 127 would follow from 64 KiB on. */
const FRAMES = Buffer.concat(
  Array.from({ length: 16 }, () => Buffer.concat([Buffer.from([0x82, 126, 0x40, 0]), Buffer.alloc(0x4000, "x")])),
);

interface Talk {
  /** A head that is not whole. */
  head: string;
  /** Bytes of a request's body that are still to come. */
  body: number;
  /** What is sent for as long as there is room; null for nothing. */
  source: Buffer | null;
  /** Bytes of it that were sent, and how many there are. */
  sent: number;
  total: number;
}

export interface StalledApp {
  port: number;
  /** Connections that are open. */
  open(): number;
  /** Ends all connections: what a proxy keeps of them for later it lets go then. */
  endAll(): void;
  stop(): void;
}

export function startStalledApp(): StalledApp {
  const open = new Set<Bun.Socket<Talk>>();
  const listener = Bun.listen<Talk>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { head: "", body: 0, source: null, sent: 0, total: 0 };
        open.add(socket);
      },
      data: (socket, bytes) => hear(socket, bytes),
      drain: (socket) => send(socket),
      close: (socket) => void open.delete(socket),
      error: (socket) => void open.delete(socket),
    },
  });
  return {
    port: listener.port,
    open: () => open.size,
    endAll: () => open.forEach((socket) => socket.terminate()),
    stop: () => listener.stop(true),
  };
}

// --- internal ---

function hear(socket: Bun.Socket<Talk>, bytes: Buffer): void {
  const talk = socket.data;
  let rest = bytes;
  while (rest.length > 0) {
    if (talk.source !== null) return; // frames of a client, which nobody wants
    if (talk.body > 0) {
      const part = Math.min(talk.body, rest.length);
      talk.body -= part;
      rest = rest.subarray(part);
      if (talk.body === 0) socket.write(TAKEN);
      continue;
    }
    talk.head += rest.toString("latin1");
    const end = talk.head.indexOf("\r\n\r\n");
    if (end === -1) return;
    const head = talk.head.slice(0, end);
    rest = Buffer.from(talk.head.slice(end + 4), "latin1");
    talk.head = "";
    answer(socket, head);
  }
}

function answer(socket: Bun.Socket<Talk>, head: string): void {
  const talk = socket.data;
  const target = head.split(" ")[1] ?? "";
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1];
  if (key !== undefined) {
    socket.write(accepted(key));
    if (target === "/flood") begin(socket, FRAMES, Infinity);
    else socket.pause();
    return;
  }
  talk.body = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  if (talk.body > 0) return;
  if (target !== "/big") return void socket.write(SMALL);
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG_BYTES}\r\n\r\n`);
  begin(socket, BLOCK, BIG_BYTES);
}

function begin(socket: Bun.Socket<Talk>, source: Buffer, total: number): void {
  Object.assign(socket.data, { source, sent: 0, total });
  send(socket);
}

function send(socket: Bun.Socket<Talk>): void {
  const talk = socket.data;
  while (talk.source !== null) {
    const at = talk.sent % talk.source.length;
    const part = talk.source.subarray(at, Math.min(talk.source.length, at + talk.total - talk.sent));
    const written = Math.max(0, socket.write(part));
    talk.sent += written;
    if (talk.sent >= talk.total) talk.source = null;
    else if (written < part.length) return;
  }
}

function accepted(key: string): string {
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}
