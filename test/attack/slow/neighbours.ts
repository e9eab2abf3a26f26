/** People with another app and of another address, who use it all the while: each of their requests has to be answered. */
import { handshake, frameBytes, TEXT } from "../../contract/websocket-peer.ts";
import type { Opened } from "../../contract/stage.ts";
import { steadily, type Steady } from "../../support/steady.ts";
import { Client } from "./client.ts";

const ADDRESS = "127.0.0.2";
/** Nobody waits so long for an answer, on a busy machine neither. Milliseconds. */
const PATIENCE_MS = 30_000;
/** Between two requests: they are not the flood. Milliseconds. */
const PACE_MS = 20;

/** One with fresh connections, one with a kept one, one with a WebSocket. */
export function httpNeighbours(to: Opened): Steady {
  const kept = keptClient(to, "GET");
  const socket = keptClient(to, "WebSocket");
  return steadily(3, async (client) => {
    await Bun.sleep(PACE_MS);
    return client === 0 ? askAnew(to) : (client === 1 ? kept : socket)();
  });
}

/** Two of them: with fresh connections, and with one that is kept. */
export function tcpNeighbours(to: Opened): Steady {
  const kept = keptClient(to, "TCP");
  return steadily(2, async (client) => {
    await Bun.sleep(PACE_MS);
    if (client === 0) return kept();
    const fresh = await Client.open(to.port, ADDRESS);
    if (fresh === null) return "a fresh connection was refused";
    const failure = await echoed(fresh);
    fresh.leave();
    return failure;
  });
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

/** Uses one connection, which is never closed. */
function keptClient(to: Opened, how: "GET" | "WebSocket" | "TCP"): () => Promise<string | null> {
  let client: Client | null = null;
  /** Of a whole answer. */
  let size = how === "WebSocket" ? HELLO.length - MASK : 0;
  return async () => {
    if (client === null) {
      client = await Client.open(to.port, ADDRESS);
      if (client === null) return `a connection for ${how} was refused`;
      if (how === "WebSocket") {
        const handshaken = client;
        handshaken.send(headOf(to, handshake()));
        const refused = await waited(handshaken, () => handshaken.said.includes("\r\n\r\n"));
        if (refused !== null || !handshaken.said.startsWith("HTTP/1.1 101 ")) return refused ?? `a handshake got ${handshaken.said.slice(0, 80)}`; // prettier-ignore
      }
    }
    if (how === "TCP") return echoed(client);
    const [answer, before] = [client, client.received];
    answer.send(how === "GET" ? headOf(to, []) : HELLO);
    const failure = await waited(answer, () => (size === 0 ? answer.said.endsWith("served") : answer.received >= before + size)); // prettier-ignore
    size ||= answer.received;
    return failure;
  };
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
