/**
 * Connections that take next to nothing, as many as are asked for, each with an end that sends all the same: slow readers of
 * a big answer, and WebSockets of which one side has stopped to read. Used by stalled-run.ts.
 */
import { randomBytes } from "node:crypto";

/** `readers` take some of a big answer every few seconds; in the others one end takes nothing. */
export const STALLS = ["readers", "client stalls", "app stalls"] as const;
export type Stall = (typeof STALLS)[number];

export interface StalledOptions {
  port: number;
  host: string;
  cookie: string;
  connections: number;
  stall: Stall;
}

export interface Stalled {
  opened: number;
  /** Ends all of them with a reset, as clients do that are killed. */
  end(): void;
}

/** A slow reader takes what has come once in this time. Milliseconds. */
const GULP_MS = 4000;
/** Handshakes under way at once. */
const OPENING = 50;
/** A masked frame of 16 KiB, of a client (RFC 6455 §5.2); the mask leaves it as it is. */
const FRAME = Buffer.concat([Buffer.from([0x82, 0x80 | 126, 0x40, 0, 0, 0, 0, 0]), Buffer.alloc(0x4000, "x")]);

/** Resolves when each has its head and what it is to do has begun. One that is closed by the other side ends the process. */
export async function openStalled(options: StalledOptions): Promise<Stalled> {
  const sockets: Bun.Socket<Talk>[] = [];
  let left = options.connections;
  const opener = async () => {
    while (left-- > 0) sockets.push(await open(options));
  };
  await Promise.all(Array.from({ length: OPENING }, opener));
  let turn = 0;
  const every = Math.max(1, Math.floor(GULP_MS / sockets.length));
  // One after the other, so that the worker is never asked for everything at once.
  const gulps = setInterval(() => {
    const socket = sockets[turn++ % sockets.length];
    if (options.stall === "readers") socket?.resume();
  }, every);
  return {
    opened: sockets.length,
    end() {
      clearInterval(gulps);
      for (const socket of sockets) socket.data.isEnding = true;
      for (const socket of sockets) socket.terminate();
    },
  };
}

// --- internal ---

interface Talk {
  head: string;
  /** Bytes of a frame that are sent already. */
  sent: number;
  isOpen: boolean;
  isEnding: boolean;
}

async function open(options: StalledOptions): Promise<Bun.Socket<Talk>> {
  const { promise, resolve, reject } = Promise.withResolvers<Bun.Socket<Talk>>();
  const lost = (socket: Bun.Socket<Talk>) => {
    const { isOpen, isEnding, head } = socket.data;
    if (!isOpen) reject(new Error(`closed before its head had come: ${JSON.stringify(head.slice(0, 300))}`));
    else if (!isEnding) throw new Error(`a connection was lost (${options.stall})`);
  };
  await Bun.connect<Talk>({
    hostname: "127.0.0.1",
    port: options.port,
    data: { head: "", sent: 0, isOpen: false, isEnding: false },
    socket: {
      open: (socket) => void socket.write(requestOf(options)),
      data(socket, bytes) {
        const talk = socket.data;
        if (talk.isOpen) {
          socket.pause();
          return;
        }
        talk.head += bytes.toString("latin1");
        if (!talk.head.includes("\r\n\r\n")) return;
        if (!/^HTTP\/1\.1 (?:200|101) /.test(talk.head))
          return reject(new Error(`refused: ${JSON.stringify(talk.head.slice(0, 300))}`));
        talk.isOpen = true;
        talk.head = "";
        if (options.stall === "app stalls") flood(socket);
        else socket.pause();
        resolve(socket);
      },
      drain(socket) {
        if (socket.data.isOpen && options.stall === "app stalls") flood(socket);
      },
      close: lost,
      error: lost,
    },
  });
  return promise;
}

function requestOf({ stall, host, cookie }: StalledOptions): string {
  const lines = `Host: ${host}\r\nCookie: ${cookie}\r\n`;
  if (stall === "readers") return `GET /big HTTP/1.1\r\n${lines}\r\n`;
  const key = randomBytes(16).toString("base64");
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`;
  return `GET ${stall === "client stalls" ? "/flood" : "/stall"} HTTP/1.1\r\n${lines}${upgrade}\r\n`;
}

/** As much as is taken. */
function flood(socket: Bun.Socket<Talk>): void {
  const talk = socket.data;
  for (;;) {
    const part = FRAME.subarray(talk.sent);
    const written = Math.max(0, socket.write(part));
    talk.sent = (talk.sent + written) % FRAME.length;
    if (written < part.length) return;
  }
}
