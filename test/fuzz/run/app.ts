/**
 * The app behind the proxy: notes the bytes of each of its connections, and reads them with the strict model. What it answers
 * is the caller's.
 */
import { MAX_FIELDS } from "../model/fields.ts";
import { readRequests, type Request } from "../model/requests.ts";
import { turn } from "./wires.ts";

/** A proxy adds lines of its own to a head that is as long as it may be. Bytes. */
const MAX_HEAD = MAX_FIELDS + 4096;

/** How an app's connection is answered. */
export interface Reply {
  bytes: string;
  /** As those of a stream. */
  cuts: readonly number[];
  ending: "keep" | "fin" | "reset";
  /** Nobody may ask over this connection again. */
  isLast?: boolean;
  /** What follows is no HTTP. */
  isSwitch?: boolean;
  /** More bytes, when something has happened. Other answers of the connection do not wait for them. */
  late?: { bytes: string; when: Promise<void> };
}

export class AppWire {
  /** What is of no whole message yet. */
  pending = "";
  /** They can't be a message any more. */
  isFoul = false;
  isOpen = true;
  /** What came behind a switch of protocols; null before one. */
  raw: string | null = null;
  /** No request may follow. */
  isSpent = false;
  /** One has come all the same. */
  isMisused = false;
  /** The message that is under way has been answered. */
  wasEarly = false;
  /** Answers go out one after the other. */
  answering: Promise<void> = Promise.resolve();
}

export interface App {
  port: number;
  /** Connections that are open, or whose end nobody has looked at. */
  wires: Set<AppWire>;
  stop(): void;
}

/**
 * `answer` is called for each whole message, in the order in which they came; `early` with the target of one whose head alone
 * has come. Null says nothing.
 */
export function startApp(
  answer: (request: Request) => Reply | null,
  early: (target: string) => Reply | null = () => null,
): App {
  const wires = new Set<AppWire>();
  const listener = Bun.listen<AppWire>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    data: new AppWire(),
    socket: {
      open(socket) {
        socket.data = new AppWire();
        socket.setNoDelay(true);
        wires.add(socket.data);
      },
      data: (socket, bytes) => read(socket, bytes.toString("latin1"), answer, early),
      end: (socket) => void socket.end(),
      close: ({ data }) => void (data.isOpen = false),
      // Its close tells.
      error: () => undefined,
    },
  });
  return { port: listener.port, wires, stop: () => listener.stop(true) };
}

// --- internal ---

type Answering = (request: Request) => Reply | null;

function read(socket: Bun.Socket<AppWire>, text: string, answer: Answering, early: (target: string) => Reply | null): void {
  const wire = socket.data;
  if (wire.raw !== null) return void (wire.raw += text);
  const input = wire.pending + text;
  const { requests, stop, at } = readRequests(input, MAX_HEAD);
  wire.pending = input.slice(at);
  wire.isFoul ||= stop.kind === "refused";
  if (wire.isFoul) socket.end();
  for (const request of requests) {
    if (!wire.wasEarly) reply(socket, answer(request));
    wire.wasEarly = false;
  }
  if (stop.kind !== "partial" || stop.asked === null || wire.wasEarly) return;
  const said = early(stop.asked.target);
  wire.wasEarly = said !== null;
  reply(socket, said);
} // prettier-ignore

function reply(socket: Bun.Socket<AppWire>, said: Reply | null): void {
  if (said === null) return;
  socket.data.isMisused ||= socket.data.isSpent;
  socket.data.isSpent ||= said.isLast === true;
  if (said.isSwitch === true) socket.data.raw = "";
  socket.data.answering = socket.data.answering.then(() => send(socket, said));
  const { late } = said;
  void late?.when.then(() => socket.data.isOpen && socket.write(Buffer.from(late.bytes, "latin1")));
}

async function send(socket: Bun.Socket<AppWire>, { bytes, cuts, ending }: Reply): Promise<void> {
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    if (!socket.data.isOpen) return;
    if (from > 0) await turn();
    let rest = Buffer.from(bytes.slice(from, to), "latin1");
    // What the system does not take is tried again: the other side reads meanwhile.
    for (; rest.length > 0 && socket.data.isOpen;) {
      rest = rest.subarray(Math.max(0, socket.write(rest)));
      if (rest.length > 0) await turn();
    }
    from = to;
  }
  if (ending === "fin") socket.end();
  else if (ending === "reset") socket.terminate();
}
