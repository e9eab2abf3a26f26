/**
 * One person's steady small requests, and what another one does to the same worker meanwhile: connections, bodies, readers and
 * messages that are never ended, more of them than they may have, and as many requests as they can. Run by load.ts.
 */
import { randomBytes } from "node:crypto";
import { sumUp } from "./measure.ts";

export const HARMS = [
  "idle connections",
  "stalled bodies",
  "stalled readers",
  "unfinished messages",
  "requests",
] as const;
export type Harm = (typeof HARMS)[number];

export interface NeighbourOptions {
  port: number;
  host: string;
  cookie: string;
  connections: number;
  /** How long is measured. */
  seconds: number;
  harm: Harm;
}

/** Between two requests of a connection, so that the calm person's own load is small. Milliseconds. */
const PAUSE_MS = 5;
/** Before who was refused comes again. Milliseconds. */
const AGAIN_MS = 20;
/** A masked frame of 16 KiB in the middle of a message (RFC 6455 §5.4); the mask leaves it as it is. */
const FRAGMENT = Buffer.concat([Buffer.from([0x00, 0x80 | 126, 0x40, 0, 0, 0, 0, 0]), Buffer.alloc(0x4000, "x")]);
const BEGIN = Buffer.from([0x02, 0x80, 0, 0, 0, 0]);

/** Small requests with pauses; their times. One that is not served ends the load. */
export async function loadCalm({ port, host, cookie, connections, seconds }: NeighbourOptions): Promise<object> {
  const times: number[] = [];
  const began = performance.now();
  const end = began + seconds * 1000;
  const runner = async () => {
    while (performance.now() < end) {
      const start = performance.now();
      const answer = await fetch(`http://127.0.0.1:${port}/1k`, { headers: { host, cookie } });
      if (answer.status !== 200 || (await answer.bytes()).length !== 1024) throw new Error(`got ${answer.status}`);
      times.push(performance.now() - start);
      await Bun.sleep(PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: connections }, runner));
  return sumUp("calm", connections, times, performance.now() - began);
}

/** Begins it and goes on until the process ends. */
export async function beginHarm(options: NeighbourOptions): Promise<object> {
  await Promise.all(Array.from({ length: options.connections }, () => again(options)));
  return { harming: options.connections };
}

// --- internal ---

interface Talk {
  isUpgraded: boolean;
  /** Bytes of a fragment that are sent already. */
  sent: number;
}

/** One connection; another one in its place when it is over. */
async function again(options: NeighbourOptions): Promise<void> {
  const over = () => void setTimeout(() => void again(options), AGAIN_MS);
  await Bun.connect<Talk>({
    hostname: "127.0.0.1",
    port: options.port,
    data: { isUpgraded: false, sent: 0 },
    socket: {
      open: (socket) => void socket.write(opening(options)),
      data: (socket, bytes) => heard(socket, bytes, options),
      drain: (socket) => flood(socket),
      close: over,
      error: () => undefined,
      connectError: over,
    },
  }).catch(() => undefined); // told above
}

function opening(options: NeighbourOptions): string {
  switch (options.harm) {
    case "idle connections":
      return "";
    case "stalled bodies":
      return `${head(options, "POST", "/upload")}Content-Length: 1000000\r\n\r\nsome`;
    case "stalled readers":
      return `${head(options, "GET", "/big")}\r\n`;
    case "unfinished messages": {
      const key = randomBytes(16).toString("base64");
      return `${head(options, "GET", "/echo")}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`;
    }
    case "requests":
      return `${head(options, "GET", "/1k")}\r\n`;
  }
}

function head({ host, cookie }: NeighbourOptions, method: string, path: string): string {
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\n`;
}

function heard(socket: Bun.Socket<Talk>, bytes: Buffer, options: NeighbourOptions): void {
  if (bytes.indexOf("HTTP/1.1 429 ") === 0) return void socket.end();
  if (options.harm === "stalled readers") socket.pause();
  if (options.harm === "requests") socket.write(opening(options));
  if (options.harm !== "unfinished messages" || socket.data.isUpgraded) return;
  socket.data.isUpgraded = true;
  socket.write(BEGIN);
  flood(socket);
}

/** As much as is taken. */
function flood(socket: Bun.Socket<Talk>): void {
  const talk = socket.data;
  while (talk.isUpgraded) {
    const part = FRAGMENT.subarray(talk.sent);
    const written = Math.max(0, socket.write(part));
    talk.sent = (talk.sent + written) % FRAGMENT.length;
    if (written < part.length) return;
  }
}
