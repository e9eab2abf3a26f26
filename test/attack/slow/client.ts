/** One connection from an address of its own (Linux has all of 127/8), of which an attack tells what comes and how it ended. */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { End } from "../../contract/shapes.ts";

export class Client {
  /** The first that came, as latin1. */
  said = "";
  received = 0;
  /** How the other side ended; null while it has not. */
  ended: End | null = null;
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.received += bytes.length;
      if (this.said.length < KEPT) this.said += bytes.toString("latin1").slice(0, KEPT - this.said.length);
      this.#tell();
    });
    socket.on("end", () => this.#ends("end"));
    socket.on("error", () => this.#ends("reset"));
    socket.on("close", () => this.#ends("end"));
  }

  /** Null where it is refused. */
  static async open(port: number, address: string): Promise<Client | null> {
    const { promise, resolve } = Promise.withResolvers<Client | null>();
    const socket = connect({ port, host: "127.0.0.1", localAddress: address, allowHalfOpen: true });
    const client = new Client(socket);
    socket.once("connect", () => resolve(client));
    socket.once("error", () => resolve(null));
    return promise;
  }

  /** What can't be sent any more is nobody's loss: how it ended is told. */
  send(bytes: string | Uint8Array): void {
    if (this.ended === null) this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** The system's own word: one that takes nothing hears of no end. Linux has sockets that were reset in no table. */
  get isConnected(): boolean {
    const port = (this.#socket.localPort ?? 0).toString(16).toUpperCase().padStart(4, "0");
    return new RegExp(`^ *\\d+: [0-9A-F]{8}:${port} \\S+ 01 `, "m").test(readFileSync("/proc/net/tcp", "latin1"));
  }

  /** Takes nothing from now on. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  leave(): void {
    this.#socket.resetAndDestroy();
  }

  /** False when it has not come to be so within the time. */
  async until(holds: () => boolean, ms: number): Promise<boolean> {
    for (const end = performance.now() + ms; !holds();) {
      const left = end - performance.now();
      if (left <= 0) return false;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, left);
      this.#waiting.add(resolve);
      await promise;
      clearTimeout(timer);
      this.#waiting.delete(resolve);
    }
    return true;
  }

  // --- internal ---

  #ends(how: End): void {
    this.ended ??= how;
    this.#tell();
  }

  #tell(): void {
    for (const wake of this.#waiting) wake();
  }
}

/** So many at once; those that were refused are left out. */
export async function openMany(count: number, port: number, address: string): Promise<Client[]> {
  const clients: Client[] = [];
  for (let at = 0; at < count; at += OPENING) {
    const some = Array.from({ length: Math.min(OPENING, count - at) }, () => Client.open(port, address));
    for (const client of await Promise.all(some)) if (client !== null) clients.push(client);
  }
  return clients;
}

// --- internal ---

const KEPT = 4096;
/** Connections that are being made at once. */
const OPENING = 50;
