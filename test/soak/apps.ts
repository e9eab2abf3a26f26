/**
 * The apps behind a soak's circuits. Each answer carries the id of its request and the app's name; ways of answering are named
 * by the first part of the path, as in `/chunks/ID/LENGTH`.
 */
import { chunk, type Head } from "../contract/message.ts";
import { app, listen, type Asked, type Upstream } from "../contract/upstreams.ts";
import { acceptance, CLOSE, frameBytes, Peer } from "../contract/websocket-peer.ts";
import type { Wire } from "../contract/wire.ts";
import { contentFault, contentOf } from "./content.ts";

export interface SoakApp extends Upstream {
  name: string;
}

/** Header lines of each answer. */
export const APP = "X-App";
export const ID = "X-Id";
/** Between two events. Milliseconds. */
const EVENT_MS = 50;
const CHUNK = 7001;

export function startHttpApp(name: string): SoakApp {
  return { ...app((asked) => answer(name, asked)), name };
}

/** Says its name and a line end, then sends back what it gets. */
export function startTcpApp(name: string): SoakApp {
  const serve = async (wire: Wire) => {
    await wire.send(`${name}\n`);
    for (;;) {
      await wire.wait(() => wire.text() !== "" || wire.ended !== null, "bytes", 600_000);
      if (wire.text() === "") return wire.close();
      await wire.send(wire.take(wire.text().length));
    }
  };
  return { ...listen(serve), name };
}

// --- internal ---

async function answer(name: string, asked: Asked): Promise<void> {
  const { head, wire } = asked;
  const [, way, id = "", more = "0"] = head.target.split("/");
  const lines = `${APP}: ${name}\r\n${ID}: ${id}\r\n`;
  const [number, length] = [Number(id), Number(more)];
  switch (way) {
    case "get":
      return wire.send(Buffer.concat([headOf(lines, length), contentOf(number, length)]));
    case "chunks":
      return sendChunks(wire, lines, contentOf(number, length));
    case "events":
      return sendEvents(wire, lines, id, length);
    case "put": {
      const { bytes, complete } = await asked.body();
      if (!complete) return wire.reset();
      const said = contentFault(bytes, number, length) ?? "as sent";
      return wire.send(Buffer.concat([headOf(lines, said.length), Buffer.from(said)]));
    }
    case "talk":
      return talk(wire, head, lines);
    case "break":
      // Of what it has announced it sends a part: a client must see that something is missing.
      await wire.send(Buffer.concat([headOf(lines, 2 * length), contentOf(number, length)]));
      return wire.reset();
    default:
      return wire.reset();
  }
}

function headOf(lines: string, length: number): Buffer {
  return Buffer.from(`HTTP/1.1 200 OK\r\n${lines}Content-Length: ${length}\r\n\r\n`, "latin1");
}

async function sendChunks(wire: Wire, lines: string, content: Buffer): Promise<void> {
  await wire.send(`HTTP/1.1 200 OK\r\n${lines}Transfer-Encoding: chunked\r\n\r\n`);
  for (let at = 0; at < content.length; at += CHUNK) await wire.send(chunk(content.subarray(at, at + CHUNK)));
  await wire.send(chunk(""));
}

async function sendEvents(wire: Wire, lines: string, id: string, count: number): Promise<void> {
  await wire.send(`HTTP/1.1 200 OK\r\n${lines}Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n`);
  for (let at = 0; at < count; at++) {
    await wire.send(chunk(`data: ${id} ${at}\n\n`));
    await Bun.sleep(EVENT_MS);
  }
  await wire.send(chunk(""));
}

/** A WebSocket that sends back each frame, its Close too. */
async function talk(wire: Wire, head: Head, lines: string): Promise<void> {
  const named = lines.split("\r\n").slice(0, 2).map((line) => line.split(": ") as [string, string]); // prettier-ignore
  await wire.send(acceptance(head, named));
  const peer = new Peer(wire, head, false);
  for (;;) {
    // A person may be silent for longer than a wire waits.
    await wire.wait(() => wire.text() !== "" || wire.ended !== null, "a frame", 600_000);
    const frame = await peer.next();
    if (frame === null) return wire.close();
    await wire.send(frameBytes(frame.opcode, frame.payload, false, frame.final));
    if (frame.opcode === CLOSE) return wire.close();
  }
}
