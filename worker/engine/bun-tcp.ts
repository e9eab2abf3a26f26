/**
 * Raw TCP for the Bun engine: a client's connection and one to the app, byte for byte, with back-pressure, half-close
 * both ways, and resets that stay resets (dataplane T1–T3).
 */
import { dial } from "./dial.ts";
import {
  UpstreamFault,
  type Arrival,
  type Core,
  type Listener,
  type Passage,
  type TcpListenOptions,
} from "./engine.ts";
import { reason } from "../../shared/failure.ts";

export function listenTcp({ hostname, port, seenAs }: TcpListenOptions, core: Core): Listener {
  const open = new Set<Leg>();
  const drained = Promise.withResolvers<void>();
  const listener = Bun.listen<Leg>({
    hostname,
    port,
    exclusive: true,
    allowHalfOpen: true,
    data: new Leg(),
    socket: {
      ...HANDLERS,
      open(socket) {
        const leg = new Leg();
        socket.data = leg;
        leg.socket = socket;
        // Nothing is read before there is somewhere to write it.
        socket.pause();
        open.add(leg);
        leg.closed = () => {
          open.delete(leg);
          if (stopped && open.size === 0) drained.resolve();
        };
        void carry(leg, { peer: socket.remoteAddress, port: seenAs }, core);
      },
    },
  });
  let stopped = false;
  return {
    port: listener.port,
    async close(how) {
      stopped = true;
      listener.stop(false);
      if (how === "now") for (const leg of open) leg.reset();
      if (open.size > 0) await drained.promise;
    },
    renew() {
      throw new Error("a TCP listener has no certificate");
    },
  };
}

// --- internal ---

/** One of the two connections. What it reads is written to its `other`. */
class Leg {
  socket: Bun.Socket<Leg> | null = null;
  other: Leg | null = null;
  passage: Passage | null = null;
  /** The listener's bookkeeping. */
  closed: () => void = () => undefined;
  /** What the system did not take yet; the other leg is paused meanwhile, so it is at most one read. */
  #unsent: Buffer | null = null;
  /** The other side has ended its half: ours ends when all is written. */
  #ending = false;
  #ended = false;
  #over = false;

  /** Bytes for this side. */
  write(bytes: Buffer): void {
    if (this.#over || this.socket === null) return;
    const written = Math.max(0, this.socket.write(bytes));
    if (written === bytes.length) return;
    this.#unsent = Buffer.from(bytes.subarray(written));
    this.other?.socket?.pause();
  }

  /** The system has room again. */
  drain(): void {
    const bytes = this.#unsent;
    this.#unsent = null;
    if (bytes !== null) this.write(bytes);
    if (this.#unsent !== null) return;
    this.other?.socket?.resume();
    if (this.#ending) this.end();
  }

  /** No more bytes will come for this side. */
  end(): void {
    if (this.#unsent !== null) this.#ending = true;
    else if (!this.#ended && !this.#over) {
      this.#ended = true;
      this.socket?.shutdown();
    }
  }

  reset(): void {
    const { socket } = this;
    this.over();
    socket?.terminate();
  }

  /** True the first time. */
  over(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#unsent = null;
    this.closed();
    return true;
  }
}

const HANDLERS: Bun.SocketHandler<Leg> = {
  data({ data: leg }, bytes) {
    leg.passage?.moved();
    leg.other?.write(bytes);
  },
  drain: ({ data: leg }) => leg.drain(),
  end: ({ data: leg }) => leg.other?.end(),
  close({ data: leg }, error) {
    if (!leg.over()) return;
    leg.passage?.release();
    // Both halves have ended, or it was reset: then the other side is reset too.
    if (error === undefined || error === null) leg.other?.end();
    else leg.other?.reset();
  },
  error: ({ data: leg }) => leg.other?.reset(),
};

async function carry(client: Leg, arrival: Arrival, core: Core): Promise<void> {
  try {
    const admitted = core.admit(arrival);
    let passage = admitted instanceof Promise ? await admitted : admitted;
    while (passage !== null) {
      const { fault, other } = await connect(client, passage);
      if (fault === null) return;
      if (other === null) core.unanswered(arrival, fault);
      passage = other;
    }
  } catch (error) {
    core.unanswered(arrival, new UpstreamFault("broken", reason(error), error));
  }
  client.reset();
}

/** Joins the client with the app. Gives the fault, and another passage to try. */
async function connect(client: Leg, passage: Passage): Promise<{ fault: UpstreamFault | null; other: Passage | null }> {
  const app = new Leg();
  const dialled = dial(passage, app, HANDLERS);
  passage.stop = dialled.cancel;
  client.closed = chained(client.closed, dialled.cancel);
  try {
    app.socket = await dialled.socket;
    passage.reached();
    join(client, app, passage);
    return { fault: null, other: null };
  } catch (error) {
    const fault = error instanceof UpstreamFault ? error : new UpstreamFault("broken", reason(error), error);
    if (fault.kind !== "revoked") passage.failed();
    const other = fault.kind === "unreachable" ? passage.elsewhere() : null;
    passage.release();
    return { fault, other };
  }
}

function join(client: Leg, app: Leg, passage: Passage): void {
  for (const [leg, other] of [
    [client, app],
    [app, client],
  ] as const) {
    leg.other = other;
    leg.passage = passage;
  }
  passage.stop = () => {
    client.reset();
    app.reset();
    passage.release();
  };
  passage.moved();
  client.socket?.resume();
}

function chained(first: () => void, second: () => void): () => void {
  return () => {
    first();
    second();
  };
}
