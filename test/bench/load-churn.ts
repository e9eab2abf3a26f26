/**
 * Requests, connections and aborts by the ten thousand, of which a proxy may keep nothing: over raw sockets, so that a client
 * can leave at any byte. Used by stalled-run.ts.
 */
import { createRandom, type Random } from "../faults/random.ts";

export const CHURNS = ["requests", "connections", "aborts"] as const;
export type Churn = (typeof CHURNS)[number];

export interface ChurnOptions {
  port: number;
  host: string;
  cookie: string;
  churn: Churn;
  count: number;
  seed: number;
}

const AT_ONCE = 64;
const SMALL_BYTES = 1024;
/** Of an upload. */
const BODY = Buffer.alloc(64 * 1024, "u");

/** Runs all of them. Rejects when an answer is wrong that was waited for. */
export async function churn(options: ChurnOptions): Promise<void> {
  let left = options.count;
  const lane = async (at: number) => {
    const random = createRandom(options.seed).fork(`lane ${at}`);
    const kept = options.churn === "requests" ? await connect(options.port) : null;
    while (left-- > 0) {
      if (kept !== null) await ask(kept, options);
      else if (options.churn === "connections") await openAndClose(options, random);
      else await abort(options, random);
    }
    kept?.socket.terminate();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, at) => lane(at)));
}

// --- internal ---

interface Client {
  socket: Bun.Socket<Client>;
  heard: string;
  bytes: number;
  isOver: boolean;
  wake: () => void;
}

function connect(port: number): Promise<Client> {
  const { promise, resolve, reject } = Promise.withResolvers<Client>();
  const over = ({ data }: Bun.Socket<Client>) => {
    data.isOver = true;
    data.wake();
  };
  Bun.connect<Client>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.data = { socket, heard: "", bytes: 0, isOver: false, wake: () => undefined };
        resolve(socket.data);
      },
      data({ data }, bytes) {
        data.bytes += bytes.length;
        if (data.heard.length < 4096) data.heard += bytes.toString("latin1");
        data.wake();
      },
      close: over,
      error: over,
    },
  }).catch(reject);
  return promise;
}

/** Resolves when it holds, or the connection is over. */
async function heard(client: Client, holds: () => boolean): Promise<void> {
  while (!holds() && !client.isOver) {
    const { promise, resolve } = Promise.withResolvers<void>();
    client.wake = resolve;
    await promise;
  }
}

async function ask(client: Client, options: ChurnOptions): Promise<void> {
  client.heard = "";
  client.bytes = 0;
  client.socket.write(`GET /1k HTTP/1.1\r\n${linesOf(options)}\r\n`);
  const isWhole = () => client.bytes >= client.heard.indexOf("\r\n\r\n") + 4 + SMALL_BYTES && client.heard !== "";
  await heard(client, isWhole);
  if (!isWhole() || !client.heard.startsWith("HTTP/1.1 200 "))
    throw new Error(`wanted 1 KiB, got ${client.bytes} bytes: ${JSON.stringify(client.heard.slice(0, 200))}`);
}

/** Every second one is used once. */
async function openAndClose(options: ChurnOptions, random: Random): Promise<void> {
  const client = await connect(options.port);
  if (random.chance(0.5)) await ask(client, options);
  client.socket.end();
  await heard(client, () => false);
}

/** A request that ends with a reset: in its head, in its body, before the answer, or after so much of it. */
async function abort(options: ChurnOptions, random: Random): Promise<void> {
  const client = await connect(options.port);
  const lines = linesOf(options);
  const head = `GET /big HTTP/1.1\r\n${lines}\r\n`;
  switch (random.between(0, 3)) {
    case 0:
      client.socket.write(head.slice(0, random.between(0, head.length - 1)));
      break;
    case 1:
      client.socket.write(`POST / HTTP/1.1\r\n${lines}Content-Length: ${BODY.length}\r\n\r\n`);
      client.socket.write(BODY.subarray(0, random.between(0, BODY.length)));
      break;
    case 2:
      client.socket.write(head);
      break;
    default: {
      client.socket.write(head);
      const wanted = random.between(1, 100_000);
      await heard(client, () => client.bytes >= wanted);
    }
  }
  // What was written may reach the proxy alone, or with the reset.
  if (random.chance(0.5)) await new Promise<void>((resolve) => setImmediate(resolve));
  client.socket.terminate();
}

function linesOf({ host, cookie }: ChurnOptions): string {
  return `Host: ${host}\r\nCookie: ${cookie}\r\n`;
}
