/**
 * Apps that misbehave on purpose: real servers that send exactly the bytes they are told. Each tells what it received,
 * byte for byte, and which connections are open.
 */
import { until } from "../support/until.ts";
import { chunk, type Body, type Head } from "./message.ts";
import { Wire, wireHandlers } from "./wire.ts";
import { holdPort } from "../support/held-port.ts";

/** A request as it reached the app. */
export interface Asked {
  head: Head;
  wire: Wire;
  /** Reads its body. */
  body: () => Promise<Body>;
}

export interface Upstream {
  port: number;
  /** All connections so far. */
  wires: Wire[];
  /** All requests so far whose heads came whole. */
  asked: Asked[];
  /** The nth request, counted from 0; waits for it. */
  request(at?: number): Promise<Asked>;
  /** Connections that are open. */
  open(): number;
  /** Stops listening; what is connected stays. */
  refuse(): void;
  /** Listens on the same port again. */
  accept(): void;
  stop(): void;
}

const listening = new Set<Upstream>();

/** Stops all servers that were started here. */
export function stopUpstreams(): void {
  for (const upstream of listening) upstream.stop();
  listening.clear();
}

/** A server that leaves each connection to `serve`. What that throws ends the connection. */
export function listen(serve: (wire: Wire) => unknown, port = 0): Upstream {
  const wires: Wire[] = [];
  const bind = (port: number) =>
    Bun.listen<Wire>({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: true,
      socket: {
        ...wireHandlers,
        open(socket) {
          const wire = new Wire(socket);
          socket.data = wire;
          wires.push(wire);
          // A misbehaving app's own trouble is part of the play: the connection shows it.
          Promise.resolve(serve(wire)).catch(() => wire.reset());
        },
      },
    });
  let listener = bind(port);
  /** While nobody listens: another listener on "port 0" would get it. */
  let release = () => {};
  const asked: Asked[] = [];
  const upstream: Upstream = {
    port: listener.port,
    wires,
    asked,
    request: (at = 0) => until(() => asked[at], 30_000, `request ${at} to reach the app`),
    open: () => wires.filter((wire) => !wire.closed && wire.ended === null).length,
    refuse() {
      listener.stop(false);
      release = holdPort(upstream.port);
    },
    accept() {
      listener = bind(upstream.port);
      release();
    },
    stop() {
      listener.stop(true);
      release();
    },
  };
  listening.add(upstream);
  return upstream;
}

/** An HTTP server that leaves each request, one after the other on its connection, to `answer`. */
export function app(answer: (asked: Asked) => unknown, port = 0): Upstream {
  const upstream = listen(async (wire) => {
    for (;;) {
      await wire.wait(() => wire.text().includes("\r\n\r\n") || wire.ended !== null, "a request", 600_000);
      if (wire.ended !== null) return wire.close();
      const head = await wire.head();
      let body: Promise<Body> | null = null;
      const asked: Asked = { head, wire, body: () => (body ??= wire.body(head)) };
      upstream.asked.push(asked);
      await answer(asked);
      if (wire.closed) return;
    }
  }, port);
  return upstream;
}

/** A request as an echo tells it. */
export interface Echo {
  line: string;
  pairs: [name: string, value: string][];
  framing: Body["framing"];
  sha256: string;
  length: number;
}

/** What an echo has told. */
export function told({ bytes }: Body): Echo {
  return JSON.parse(bytes.toString("latin1")) as Echo;
}

/** Answers every request, after its body, with these bytes. */
export function answering(bytes: string | Uint8Array, port = 0): Upstream {
  return app(async (asked) => {
    await asked.body();
    await asked.wire.send(bytes);
  }, port);
}

/** A whole answer as bytes. */
export function answer(
  status: number | string,
  headers: [string, string][] = [],
  body: string | Uint8Array = "",
): Buffer {
  const content = typeof body === "string" ? Buffer.from(body, "latin1") : Buffer.from(body);
  const lines = [...headers, ["Content-Length", String(content.length)]];
  const head = `HTTP/1.1 ${status}${typeof status === "number" ? " OK" : ""}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), content]);
}

/** Answers 200 with what it received, as JSON: the first line, the header lines, the body's SHA-256 and framing. */
export function echo(port = 0): Upstream {
  return app(async ({ head, body, wire }) => {
    const { framing, sha256, bytes } = await body();
    const told: Echo = { line: head.line, pairs: head.pairs, framing, sha256, length: bytes.length };
    await wire.send(answer(200, [["Content-Type", "application/json"]], JSON.stringify(told)));
  }, port);
}

/** The misbehaviours that a table of tests can go through; all answer 200 in their way. */
export const MISBEHAVIOURS = {
  "dies in the head": () => app(({ wire }) => wire.send("HTTP/1.1 200 OK\r\nX-Half").then(() => wire.close())),
  "dies in mid-body with Content-Length": () => dying("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
  "dies in mid-chunk": () => dying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n64\r\nhalf"),
  "dies between chunks": () => dying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
  "sends too much": () =>
    app(({ wire }) => wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\n\r\n")),
  "resets in mid-body": () =>
    app(async ({ wire }) => {
      await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
      wire.reset();
    }),
  "resets in a body that ends with its connection": () =>
    app(async ({ wire }) => {
      await wire.send("HTTP/1.1 200 OK\r\n\r\nonly this");
      wire.reset();
    }),
  "resets at once": () => listen((wire) => wire.reset()),
  "never reads": () => listen((wire) => wire.pause()),
  "answers before the upload has ended": () =>
    app(({ wire }) => wire.send(answer("413 Too Large", [["Connection", "close"]], "enough"))),
} satisfies Record<string, () => Upstream>;

/** Refuses every upgrade with a status, a header and a body. */
export function refusingUpgrade(status: string, body: string): Upstream {
  return app(({ wire }) => wire.send(answer(status, [["X-Refused", "1"]], body)));
}

/** Sends a head after `ready`, then the body in chunks, each when `next` resolves. */
export function slow(ready: Promise<unknown>, parts: AsyncIterable<string>): Upstream {
  return app(async ({ wire }) => {
    await ready;
    await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for await (const part of parts) await wire.send(chunk(part));
    await wire.send(chunk(""));
  });
}

// --- internal ---

function dying(bytes: string): Upstream {
  return app(async ({ wire }) => {
    await wire.send(bytes);
    wire.close();
  });
}
