/** People with another app and of another address, who use it all the while: each of their requests has to be answered. */
import { handshake, frameBytes, TEXT } from "../../contract/websocket-peer.ts";
import type { Opened } from "../../contract/stage.ts";
import { steadily, type Steady } from "../../support/steady.ts";
import { Client } from "./client.ts";

const ADDRESS = "127.0.0.2";
/** Nobody waits so long for an answer, on a busy machine neither. Milliseconds. */
const PATIENCE_MS = 30_000;
/** Less than the worker's shortest limits (size.ts), after which idle connections may be closed. Milliseconds. */
const IDLE_MS = 1500;
/** Between two requests: they are not the flood. Milliseconds. */
const PACE_MS = 20;

/** One with fresh connections, one with a kept one, one with a WebSocket. */
export function httpNeighbours(to: Opened): Steady {
  const [kept, socket] = [new KeptClient(to, "GET"), new KeptClient(to, "WebSocket")];
  const work = async (client: number) => {
    await Bun.sleep(PACE_MS);
    return client === 0 ? askAnew(to) : (client === 1 ? kept : socket).ask();
  };
  return leaving([kept, socket], steadily(3, work));
}

/** Two of them: with fresh connections, and with one that is kept. */
export function tcpNeighbours(to: Opened): Steady {
  const kept = new KeptClient(to, "TCP");
  const work = async (client: number) => {
    await Bun.sleep(PACE_MS);
    if (client === 0) return kept.ask();
    const fresh = await Client.open(to.port, ADDRESS);
    if (fresh === null) return "a fresh connection was refused";
    const failure = await echoed(fresh);
    fresh.leave();
    return failure;
  };
  return leaving([kept], steadily(2, work));
}

// --- internal ---

function headOf(to: Opened, more: readonly [string, string][]): string {
  return `GET / HTTP/1.1\r\n${[...to.headers(), ...more].map((line) => `${line.join(": ")}\r\n`).join("")}\r\n`;
}

async function askAnew(to: Opened): Promise<string | null> {
  const client = await Client.open(to.port, ADDRESS);
  if (client === null) return "a fresh connection was refused";
  client.send(headOf(to, [["Connection", "close"]]));
  await client.until(() => client.ended !== null, PATIENCE_MS);
  client.leave();
  return /^HTTP\/1\.1 200 [^]*served/.test(client.said) ? null : `a request got ${JSON.stringify(client.said.slice(0, 80))}`; // prettier-ignore
}

/** The same; in the end their connections go too. */
function leaving(kept: readonly KeptClient[], steady: Steady): Steady {
  const stop = async () => {
    await steady.stop();
    for (const one of kept) one.leave();
  };
  return { ...steady, stop };
}

/** Uses one connection, which nobody may close before it has idled for as long as it may. */
class KeptClient {
  readonly #to: Opened;
  readonly #how: "GET" | "WebSocket" | "TCP";
  #client: Client | null = null;
  /** Of a whole answer. */
  #size: number;
  /** When it last asked. */
  #asked = performance.now();

  constructor(to: Opened, how: "GET" | "WebSocket" | "TCP") {
    this.#to = to;
    this.#how = how;
    this.#size = how === "WebSocket" ? HELLO.length - MASK : 0;
  }

  /** What went wrong; null for nothing. */
  async ask(): Promise<string | null> {
    if (this.#client === null) {
      this.#client = await Client.open(this.#to.port, ADDRESS);
      if (this.#client === null) return `a connection for ${this.#how} was refused`;
      if (this.#how === "WebSocket") {
        const refused = await this.#handshake(this.#client);
        if (refused !== null) return refused;
      }
    }
    const client = this.#client;
    if (this.#how === "TCP") return echoed(client);
    const before = client.received;
    const idleSince = this.#asked;
    this.#asked = performance.now();
    client.send(this.#how === "GET" ? headOf(this.#to, []) : HELLO);
    const isAnswered = () => this.#size === 0 ? client.said.endsWith("served") : client.received >= before + this.#size; // prettier-ignore
    const failure = await waited(client, isAnswered);
    // A machine that is busy keeps it from asking in time: as every client does, it asks again over another connection.
    const isStale = this.#how === "GET" && client.received === before && performance.now() - idleSince > IDLE_MS;
    if (failure !== null && isStale) {
      client.leave();
      this.#client = null;
      this.#size = 0;
      return this.ask();
    }
    this.#size ||= client.received;
    return failure;
  }

  leave(): void {
    this.#client?.leave();
  }

  // --- internal ---

  async #handshake(client: Client): Promise<string | null> {
    client.send(headOf(this.#to, handshake()));
    const failure = await waited(client, () => client.said.includes("\r\n\r\n"));
    const isOpen = client.said.startsWith("HTTP/1.1 101 ");
    return failure ?? (isOpen ? null : `a handshake got ${client.said.slice(0, 80)}`);
  }
}

/** A frame with a mask, and how long that is. */
const HELLO = frameBytes(TEXT, "hello", true);
const MASK = 4;

async function echoed(client: Client): Promise<string | null> {
  const before = client.received;
  client.send("hello\n");
  return waited(client, () => client.received >= before + 6);
}

async function waited(client: Client, holds: () => boolean): Promise<string | null> {
  await client.until(() => holds() || client.ended !== null, PATIENCE_MS);
  return holds() ? null : `a kept connection got ${JSON.stringify(client.said.slice(0, 80))} and ended by ${String(client.ended)}`; // prettier-ignore
}
