/** Raw requests, and how each was answered: with an answer, with an end without one, or not even with a connection. */
import { dial } from "../../contract/client.ts";
import { Wire, wireHandlers } from "../../contract/wire.ts";

/** An answer as it is compared with others. */
export interface Answered {
  kind: "answered";
  status: number;
  /** In lower case and sorted. */
  headers: [name: string, value: string][];
  body: string;
}

export type Said = Answered | { kind: "closed" } | { kind: "no connection" };

export interface Request {
  method: string;
  bytes: string;
}

/** Sends requests over one connection, each when the one before is answered, and gives what was said to each. */
export async function speak(port: number, secure: boolean, requests: readonly Request[]): Promise<Said[]> {
  const wire = await (secure ? dialSecurely(port) : dial(port)).catch(refused);
  if (wire === null) return requests.map(() => ({ kind: "no connection" }));
  try {
    const said: Said[] = [];
    for (const request of requests) said.push(await ask(wire, request));
    return said;
  } finally {
    // No FIN: thousands of ends that wait for their time to be over would take the machine's ports.
    wire.reset();
  }
}

/** An answer without what differs from one to the next: ids, the time, and whether the connection goes on. */
export function textOf({ status, headers, body }: Answered): string {
  const kept = headers.filter(([name]) => !VARY.has(name));
  return `${status} ${JSON.stringify(kept)} ${body.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "ID")}`;
}

// --- internal ---

const VARY: ReadonlySet<string> = new Set(["connection", "date", "keep-alive", "x-error-id"]);

async function ask(wire: Wire, { method, bytes }: Request): Promise<Said> {
  // It may be closed before all of it is there.
  await wire.send(bytes).catch(() => undefined);
  await wire.wait(() => wire.text().includes("\r\n\r\n") || wire.ended !== null, "an answer");
  if (!wire.text().includes("\r\n\r\n")) return { kind: "closed" };
  const head = await wire.head();
  const body = await wire.body(head, method);
  const headers = head.pairs.map(([name, value]): [string, string] => [name.toLowerCase(), value]);
  return { kind: "answered", status: head.status, headers: headers.toSorted(), body: body.bytes.toString("latin1") };
}

function refused(error: unknown): null {
  if (error instanceof Error && "code" in error && /ECONNRE(FUSED|SET)/.test(String(error.code))) return null;
  throw error;
}

async function dialSecurely(port: number): Promise<Wire> {
  const { promise, resolve } = Promise.withResolvers<Wire>();
  await Bun.connect<Wire>({
    hostname: "127.0.0.1",
    port,
    tls: { rejectUnauthorized: false },
    socket: {
      ...wireHandlers,
      open: (socket) => void (socket.data = new Wire(socket)),
      handshake: ({ data }) => resolve(data),
    },
  });
  return promise;
}
