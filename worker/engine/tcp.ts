/**
 * Raw TCP for every engine: a client's connection and one to the app, byte for byte, with back-pressure, half-close
 * both ways, and resets that stay resets (dataplane T1–T3).
 */
import { bindAlone, bindShared } from "../listeners/bind-shared.ts";
import { dial } from "../net/dial.ts";
import { askSilentPeer } from "../net/linux-tcp.ts";
import { vanishedPeers } from "../net/vanished.ts";
import { strayError } from "../net/stray-error.ts";
import { HandOver } from "../listeners/handover.ts";
import type { Listener } from "../listeners/types.ts";
import { UpstreamFault } from "../net/upstream-fault.ts";
import type { Arrival, Attempt, Core, TcpListenOptions } from "../seam/engine.ts";
import { reason } from "../../shared/failure.ts";

/** Nobody idles in a listener's queue: this is for handshakes that are under way, with one answer lost. Milliseconds. */
const QUEUE_MS = 3000;

export function listenTcp<C>({ hostname, port, seenAs, sharing }: TcpListenOptions, core: Core<C>): Listener {
  const open = new Set<Leg>();
  const drained = Promise.withResolvers<void>();
  let stopped = false;
  const options: Bun.TCPSocketListenOptions<Leg> = {
    hostname,
    port,
    ...(sharing === null ? { exclusive: true } : { reusePort: true }),
    allowHalfOpen: true,
    data: new Leg(),
    socket: {
      ...HANDLERS,
      open(socket) {
        const leg = new Leg();
        socket.data = leg;
        leg.opened(socket);
        open.add(leg);
        leg.closed = () => {
          open.delete(leg);
          if (stopped && open.size === 0) drained.resolve();
        };
        void carry(leg, { peer: socket.remoteAddress, port: seenAs }, core);
      },
    },
  };
  const openFirst = () => Bun.listen(options);
  const { listener, socket, neighbours } =
    sharing === null ? bindAlone(openFirst) : bindShared({ hostname, port, sharing }, openFirst);
  const shared = new HandOver(socket, neighbours);
  return {
    port: listener.port,
    async close(how, idleMs = 0) {
      if (how === "now") shared.cut();
      else if (sharing !== null) await shared.finish(Math.min(idleMs, QUEUE_MS));
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
  #socket: Bun.Socket<Leg> | null = null;
  #unwatch: () => void = () => undefined;
  #other: Leg | null = null;
  #attempt: Attempt | null = null;
  /** The listener's bookkeeping. */
  closed: () => void = () => undefined;
  /** What else ends with it: the dialling for it. */
  leave: () => void = () => undefined;
  /** What the system did not take yet, copied; the other leg is paused meanwhile, so it is about one read. */
  #unsent: Buffer | null = null;
  /** The other side has ended its half: ours ends when all is written. */
  #ending = false;
  #ended = false;
  #over = false;

  /** True when nothing can come from it or go to it any more. */
  get isOver(): boolean {
    return this.#over;
  }

  /** Nothing is read before there is somewhere to write it. */
  opened(socket: Bun.Socket<Leg>): void {
    this.#socket = socket;
    socket.pause();
    askSilentPeer(socket);
    this.#unwatch = vanishedPeers.watch(socket, () => this.reset());
  }

  /** From now on what this side reads goes to `other`. */
  joined(other: Leg, attempt: Attempt): void {
    this.#other = other;
    this.#attempt = attempt;
    this.#socket?.resume();
  }

  /** Bytes from this side. */
  said(bytes: Buffer): void {
    this.#attempt?.moved();
    this.#other?.write(bytes);
    free(bytes);
  }

  /** This side has ended its half. */
  finished(): void {
    this.#other?.end();
  }

  /** The system has room again. */
  drained(): void {
    const bytes = this.#unsent;
    this.#unsent = null;
    if (bytes !== null) {
      this.write(bytes);
      free(bytes);
    }
    if (this.#unsent !== null) return;
    this.#other?.resume();
    if (this.#ending) this.end();
  }

  /** Its connection is gone: in good order when both halves have ended, else it was broken, and so is the other. */
  gone(broken: boolean): void {
    if (!this.#overNow()) return;
    if (broken) this.#other?.reset();
    else this.#other?.end();
  }

  /** RST. */
  reset(): void {
    if (!this.#overNow()) return;
    this.#socket?.terminate();
    this.#other?.reset();
  }

  /** Bytes for this side; none of them is looked at afterwards. */
  write(bytes: Buffer): void {
    if (this.#over || this.#socket === null) return;
    // A read that was under way when this side filled up comes after what waits.
    if (this.#unsent !== null) return void (this.#unsent = Buffer.concat([this.#unsent, bytes]));
    const written = Math.max(0, this.#socket.write(bytes));
    if (written === bytes.length) return;
    this.#unsent = Buffer.from(bytes.subarray(written));
    this.#other?.pause();
  }

  pause(): void {
    if (!this.#over) this.#socket?.pause();
  }

  resume(): void {
    if (!this.#over) this.#socket?.resume();
  }

  /** No more bytes will come for this side. */
  end(): void {
    if (this.#unsent !== null) this.#ending = true;
    else if (!this.#ended && !this.#over) {
      this.#ended = true;
      this.#socket?.shutdown();
    }
  }

  // --- internal ---

  /** True the first time. The attempt ends with the second leg: one may still have bytes to write. */
  #overNow(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#unsent = null;
    this.#unwatch();
    this.closed();
    this.leave();
    if (this.#other?.isOver === true) this.#attempt?.release();
    return true;
  }
}

/**
 * Gives back the memory of bytes that are done with, for the next read to use. Left to the collector, which comes every
 * 25 MB, they made a new worker grow by 50 to 79 MiB in its first GiB each way; freed, by 5 to 6. It takes 0.2 µs.
 */
function free({ buffer, byteLength }: Buffer): void {
  // Never memory of which others have a part: it would be gone for them too.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

const HANDLERS: Bun.SocketHandler<Leg> = {
  data: ({ data: leg }, bytes) => leg.said(bytes),
  drain: ({ data: leg }) => leg.drained(),
  end: ({ data: leg }) => leg.finished(),
  close: ({ data: leg }, error) => leg.gone(error !== undefined && error !== null),
  error: (socket, error) => {
    socket.data.reset();
    strayError(socket, error);
  },
};

const APP_HANDLERS: Bun.SocketHandler<Leg> = { ...HANDLERS, open: (socket) => socket.data.opened(socket) };

/** Finds an app for the client; a client for which there is none is reset. */
async function carry<C>(client: Leg, arrival: Arrival, core: Core<C>): Promise<void> {
  let circuit: C | null = null;
  try {
    const asked = core.admit(arrival);
    const admitted = asked instanceof Promise ? await asked : asked;
    circuit = admitted?.circuit ?? null;
    let attempt = admitted?.attempt ?? null;
    while (attempt !== null) {
      const fault = await connect(client, attempt);
      if (fault === null) return;
      const next: Attempt | null = attempt.next(fault, { hasBody: false, clientGone: client.isOver, stale: false });
      // A client that has left is nobody's failure.
      if (next === null && !client.isOver) core.unanswered(arrival, fault, circuit);
      attempt = next;
    }
  } catch (error) {
    core.unanswered(arrival, new UpstreamFault("broken", reason(error), error), circuit);
  }
  client.reset();
}

/** Joins the client with the app; gives what prevented it. */
async function connect(client: Leg, attempt: Attempt): Promise<UpstreamFault | null> {
  // It may have left while it was admitted.
  if (client.isOver) return new UpstreamFault("revoked", "the client has left");
  const app = new Leg();
  const dialled = dial(attempt, app, APP_HANDLERS);
  attempt.stop = dialled.cancel;
  client.leave = dialled.cancel;
  try {
    await dialled.socket;
  } catch (error) {
    return error instanceof UpstreamFault ? error : new UpstreamFault("broken", reason(error), error);
  }
  attempt.connected();
  join(client, app, attempt);
  return null;
}

function join(client: Leg, app: Leg, attempt: Attempt): void {
  client.leave = () => undefined;
  attempt.stop = () => {
    client.reset();
    app.reset();
  };
  attempt.moved();
  app.joined(client, attempt);
  client.joined(app, attempt);
  // One of them may have gone just now.
  if (!client.isOver && !app.isOver) return;
  attempt.stop();
  attempt.release();
}
