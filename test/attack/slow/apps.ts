/** The apps of the site that is attacked: they take what comes, send all that a client may want, and are never the ones who give up. */
import { listen, type Upstream } from "../../contract/upstreams.ts";
import { acceptance, BINARY, frameBytes, TEXT } from "../../contract/websocket-peer.ts";
import { parseHead } from "../../contract/message.ts";
import type { Wire } from "../../contract/wire.ts";

/** An app, and what has come to it. */
export interface AttackedApp extends Upstream {
  /** Bytes of bodies and frames. */
  taken(): number;
  /** Requests for ranges. */
  ranges(): number;
  /** Ends the connections that wait for another request: those of a worker that keeps them for later. */
  endIdle(): void;
}

/** More than the buffers of a connection hold in a network with small ones. Bytes. */
export const BIG = 2 * 1024 * 1024;

/** `GET /big` is answered with as much, `/` with a word, an upgrade with frames without end; of a POST the app wants all. */
export function httpApp(): AttackedApp {
  let [taken, ranges] = [0, 0];
  const idle = new Set<Wire>();
  const upstream = listen(async (wire) => {
    for (;;) {
      idle.add(wire);
      const text = await wire.readThrough("\r\n\r\n").catch(() => null);
      idle.delete(wire);
      if (text === null) return wire.close();
      const head = parseHead(text.slice(0, -4));
      if (head.get("range") !== null) ranges++;
      if (head.get("upgrade") !== null) {
        await wire.send(acceptance(head));
        wire.stream((bytes) => (taken += bytes.length));
        return frames(wire);
      }
      if (head.method === "POST") {
        wire.stream((bytes) => (taken += bytes.length));
        return wire.wait(() => wire.closed, "the end", A_TEST);
      }
      const length = head.target === "/big" ? BIG : 6;
      await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
      if (head.method !== "HEAD") await wire.send(length === BIG ? Buffer.alloc(BIG, "b") : "served");
    }
  });
  const endIdle = () => {
    for (const wire of idle) wire.close();
  };
  return Object.assign(upstream, { taken: () => taken, ranges: () => ranges, endIdle });
}

/** `GET` is answered with a word, and so is each frame of a WebSocket. */
export function neighbourApp(): Upstream {
  return listen(async (wire) => {
    for (;;) {
      const text = await wire.readThrough("\r\n\r\n").catch(() => null);
      if (text === null) return wire.close();
      const head = parseHead(text.slice(0, -4));
      if (head.get("upgrade") === null) {
        await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved");
        continue;
      }
      await wire.send(acceptance(head));
      wire.stream(() => void wire.send(frameBytes(TEXT, "hello", false)).catch(() => wire.reset()));
      return wire.wait(() => wire.closed || wire.ended !== null, "the end", A_TEST);
    }
  });
}

/** Gives back what comes; to who says `more`, bytes without end. */
export function tcpApp(): AttackedApp {
  let taken = 0;
  const upstream = listen(async (wire) => {
    let isAsked = false;
    wire.stream((bytes) => {
      taken += bytes.length;
      isAsked ||= bytes.includes("more");
      if (!isAsked) wire.send(bytes).catch(() => wire.reset());
    });
    await wire.wait(() => isAsked || wire.ended !== null, "the end", A_TEST);
    while (isAsked && !wire.closed) await wire.send(Buffer.alloc(PART, "m"));
    wire.close();
  });
  return Object.assign(upstream, { taken: () => taken, ranges: () => 0, endIdle: () => undefined });
}

// --- internal ---

const A_TEST = 600_000;
const PART = 65_536;

/** As long as there is room for them. */
async function frames(wire: Wire): Promise<void> {
  const frame = frameBytes(BINARY, Buffer.alloc(PART), false);
  while (!wire.closed && wire.ended === null) await wire.send(frame);
  wire.close();
}
