/** Sends bytes over connections of their own, many at once, and gives what comes back. */
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface Target {
  port: number;
  /** With TLS, whoever has signed the certificate. */
  tls?: boolean;
}

export interface Shot extends Target {
  /** In Latin-1. */
  bytes: string;
  /** What follows once a WebSocket is open. */
  frame?: string;
  /** The client's address; of 127/8. */
  from?: string;
  /** Nothing may come back: so much is waited for, in milliseconds. */
  patience?: number;
}

/** How long an answer may take on a busy machine. Milliseconds. */
const PATIENCE_MS = 30_000;
/** Enough for a handshake, and small enough for its port. */
const AT_ONCE = 40;

/** All that came back, in Latin-1: until the other side closes, its answer is whole, or its time is over. */
export function shoot(shot: Shot): Promise<string> {
  const { port, tls = false, bytes, frame = "", from = "127.0.0.1", patience = PATIENCE_MS } = shot;
  const { promise, resolve } = Promise.withResolvers<string>();
  const to = { port, host: "127.0.0.1", localAddress: from };
  const socket: Socket = tls ? connectTls({ ...to, rejectUnauthorized: false }) : connectPlain(to);
  let said = "";
  const end = () => {
    clearTimeout(late);
    socket.destroy();
    resolve(said);
  };
  const late = setTimeout(end, patience);
  socket.on(tls ? "secureConnect" : "connect", () => void socket.write(Buffer.from(bytes, "latin1")));
  socket.on("data", (more: Buffer) => {
    const wasOpen = isOpen(said);
    said += more.toString("latin1");
    if (isOpen(said) && !wasOpen) socket.write(Buffer.from(frame, "latin1"));
    if (isWhole(said)) end();
  });
  socket.on("close", end);
  // A reset is an answer too.
  socket.on("error", end);
  return promise;
}

/** Does `work` for all, so many at once. */
export async function volley<T>(all: readonly T[], work: (one: T) => Promise<void>, atOnce = AT_ONCE): Promise<void> {
  const left = all.values();
  const lane = async () => {
    for (const one of left) await work(one);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/** The status of an answer; 0 for none. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1] ?? 0);
}

/** The values of a header line. */
export function headersOf(answer: string, name: string): string[] {
  const head = answer.slice(0, answer.indexOf("\r\n\r\n")).split("\r\n").slice(1);
  const begin = `${name.toLowerCase()}:`;
  return head.filter((line) => line.toLowerCase().startsWith(begin)).map((line) => line.slice(begin.length).trim());
}

// --- internal ---

function isOpen(said: string): boolean {
  return statusOf(said) === 101 && said.includes("\r\n\r\n");
}

/** An answer with a length is whole when that has come; others end with their connection. */
function isWhole(said: string): boolean {
  const end = said.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const [length] = headersOf(said, "content-length");
  return length !== undefined && statusOf(said) >= 200 && said.length >= end + 4 + Number(length);
}
