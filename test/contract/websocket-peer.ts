/**
 * One end of a WebSocket that sends exactly the frames it is told and tells each that came: as client (connect) and as
 * app (webSocketApp). It answers nothing by itself, neither pings nor closes.
 */
import { createHash, randomBytes } from "node:crypto";
import { finalHead, begin } from "./client.ts";
import type { Head } from "./message.ts";
import type { Opened } from "./stage.ts";
import { app, type Upstream } from "./upstreams.ts";
import type { Wire } from "./wire.ts";

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

export interface Frame {
  opcode: number;
  final: boolean;
  masked: boolean;
  payload: Buffer;
}

export class Peer {
  readonly wire: Wire;
  /** The other side's head: its request or its 101. */
  readonly head: Head;
  /** True for a client's end. */
  readonly masks: boolean;

  constructor(wire: Wire, head: Head, masks: boolean) {
    this.wire = wire;
    this.head = head;
    this.masks = masks;
  }

  /** Resolves when the kernel has it all. */
  send(opcode: number, payload: string | Uint8Array = "", final = true): Promise<void> {
    return this.wire.send(frameBytes(opcode, payload, this.masks, final));
  }

  close(code?: number, reason = ""): Promise<void> {
    return this.send(CLOSE, code === undefined ? "" : closeBytes(code, reason));
  }

  /** The next frame; null when the connection ended before it was whole. A large one may be given more time. */
  async next(ms?: number): Promise<Frame | null> {
    const head = await this.wire.read(2);
    const [first = 0, second = 0] = head;
    const extra = (second & 127) < 126 ? 0 : (second & 127) === 126 ? 2 : 8;
    const more = await this.wire.read(extra + (second > 127 ? 4 : 0));
    const length = extra === 0 ? second & 127 : extra === 2 ? more.readUInt16BE() : Number(more.readBigUInt64BE());
    if (ms !== undefined)
      await this.wire.wait(() => this.wire.received >= length || this.wire.ended !== null, "it", ms);
    const payload = Buffer.from(await this.wire.read(length));
    if (head.length < 2 || payload.length < length) return null;
    if (second > 127) xor(payload, more.subarray(extra));
    return { opcode: first & 15, final: first > 127, masked: second > 127, payload };
  }

  /** Frames until and with a close frame, or until the connection ends. */
  async all(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (;;) {
      const frame = await this.next();
      if (frame === null) return frames;
      frames.push(frame);
      if (frame.opcode === CLOSE) return frames;
    }
  }
}

export interface WebSocketApp extends Upstream {
  /** The nth that was accepted, counted from 0; waits for it. */
  peer(at?: number): Promise<Peer>;
}

/** Accepts every handshake, with these lines added to the 101, and leaves the rest to `serve`. */
export function webSocketApp(
  serve: (peer: Peer) => unknown = () => undefined,
  lines: [name: string, value: string][] = [],
): WebSocketApp {
  const peers: Peer[] = [];
  const upstream = app(async ({ wire, head }) => {
    await wire.send(acceptance(head, lines));
    const peer = new Peer(wire, head, false);
    peers.push(peer);
    await serve(peer);
    await wire.wait(() => wire.closed, "the end", 600_000);
  });
  return Object.assign(upstream, {
    async peer(at = 0) {
      const asked = await upstream.request(at);
      await asked.wire.wait(() => peers.some(({ wire }) => wire === asked.wire), "the handshake");
      return peers.find(({ wire }) => wire === asked.wire) as Peer;
    },
  });
}

/** The 101 for a handshake. */
export function acceptance(head: Head, lines: [name: string, value: string][] = []): string {
  const accept = createHash("sha1").update(`${head.get("sec-websocket-key")}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  return switching([...HEADERS, ["Sec-WebSocket-Accept", accept.digest("base64")], ...lines]);
}

export function switching(lines: [name: string, value: string][]): string {
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `HTTP/1.1 101 Switching Protocols\r\n${text}\r\n`;
}

/** Header lines of a handshake, beside those that `begin` adds. */
export function handshake(more: [name: string, value: string][] = []): [name: string, value: string][] {
  const own: [string, string][] = [["Sec-WebSocket-Version", "13"], ["Sec-WebSocket-Key", randomBytes(16).toString("base64")]]; // prettier-ignore
  return [...HEADERS, ...own, ...more];
}

/** An open WebSocket of a client. Rejects when it is refused. */
export async function connect(to: Opened, target = "/", more: [name: string, value: string][] = []): Promise<Peer> {
  const wire = await begin(to, target, { headers: handshake(more) });
  const head = await finalHead(wire);
  if (head.status !== 101) throw new Error(`refused: ${head.line}`);
  return new Peer(wire, head, true);
}

export function frameBytes(opcode: number, payload: string | Uint8Array, masks: boolean, final = true): Buffer {
  const content = Buffer.from(payload as Uint8Array);
  const { length } = content;
  const mask = masks ? randomBytes(4) : Buffer.alloc(0);
  const size = length < 126 ? length : length < 65_536 ? 126 : 127;
  const extra = Buffer.alloc(size < 126 ? 0 : size === 126 ? 2 : 8);
  if (size === 126) extra.writeUInt16BE(length);
  if (size === 127) extra.writeBigUInt64BE(BigInt(length));
  if (masks) xor(content, mask);
  return Buffer.concat([Buffer.from([(final ? 128 : 0) | opcode, (masks ? 128 : 0) | size]), extra, mask, content]);
}

export function closeBytes(code: number, reason = ""): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
}

// --- internal ---

const HEADERS: [string, string][] = [
  ["Connection", "Upgrade"],
  ["Upgrade", "websocket"],
];

/** In words, for messages of hundreds of megabytes. */
function xor(bytes: Buffer, mask: Buffer): void {
  const count = bytes.byteOffset % 4 === 0 ? bytes.length >> 2 : 0;
  const words = new Uint32Array(bytes.buffer, count === 0 ? 0 : bytes.byteOffset, count);
  const key = mask.readUInt32LE();
  for (let at = 0; at < count; at++) words[at] = (words[at] ?? 0) ^ key;
  for (let at = count * 4; at < bytes.length; at++) bytes[at] = (bytes[at] ?? 0) ^ (mask[at & 3] ?? 0);
}
