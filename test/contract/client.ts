/** A raw HTTP/1.1 client: sends the bytes it is told, and tells the bytes that came. */
import type { Body, Head } from "./message.ts";
import type { Opened } from "./stage.ts";
import { Wire, wireHandlers } from "./wire.ts";

export interface Said {
  head: Head;
  body: Body;
}

export interface Ask {
  method?: string;
  /** More header lines; `Host` and the permit's `Cookie` stand before them unless a line here has that name. */
  headers?: [name: string, value: string][];
  /** Sent with Content-Length. */
  body?: string | Uint8Array;
}

/** Connects to a TCP port on loopback. */
export async function dial(port: number, hostname = "127.0.0.1"): Promise<Wire> {
  const { promise, resolve } = Promise.withResolvers<Wire>();
  await Bun.connect<Wire>({
    hostname,
    port,
    allowHalfOpen: true,
    socket: {
      ...wireHandlers,
      open(socket) {
        socket.data = new Wire(socket);
        resolve(socket.data);
      },
    },
  });
  return promise;
}

/** One request on a connection of its own, and its whole answer. */
export async function ask(to: Opened, target: string, wish: Ask = {}): Promise<Said> {
  const wire = await begin(to, target, wish);
  try {
    const head = await finalHead(wire);
    return { head, body: await wire.body(head, wish.method) };
  } finally {
    wire.close();
  }
}

/** Sends a request on a connection of its own, and gives the connection. */
export async function begin(to: Opened, target: string, wish: Ask = {}): Promise<Wire> {
  const wire = await dial(to.port);
  await wire.send(requestHead(to, target, wish));
  if (wish.body !== undefined) await wire.send(wish.body);
  return wire;
}

/** The head of a request for a circuit, with its permit. */
export function requestHead(to: Opened, target: string, { method = "GET", headers = [], body }: Ask = {}): string {
  const named = new Set(headers.map(([name]) => name.toLowerCase()));
  const lines = [...to.headers().filter(([name]) => !named.has(name.toLowerCase())), ...headers];
  if (body !== undefined) lines.push(["Content-Length", String(Buffer.byteLength(body))]);
  return `${method} ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

/** The head of the answer proper, after any 1xx. */
export async function finalHead(wire: Wire): Promise<Head> {
  for (;;) {
    const head = await wire.head();
    if (head.status >= 200 || head.status === 101) return head;
  }
}
