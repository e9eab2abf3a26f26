/**
 * Raw TCP for every engine: a client's connection and one to the app, byte for byte, with back-pressure, half-close
 * both ways, and resets that stay resets (dataplane T1–T3).
 */
import { bindAlone, bindShared } from "../listeners/bind-shared.ts";
import type { Connections, Place } from "../net/connections.ts";
import { dial } from "../net/dial.ts";
import { handOverOf } from "../listeners/lane-handover.ts";
import type { Listener } from "../listeners/types.ts";
import { UpstreamFault } from "../net/upstream-fault.ts";
import type { Arrival, Attempt, Core, TcpListenOptions } from "../seam/engine.ts";
import { reason } from "../../shared/failure.ts";
import { Openings } from "../protocols/proxy-protocol/openings.ts";
import { APP_HANDLERS, HANDLERS, Leg, type Owner } from "./tcp-leg.ts";

/** Nobody idles in a listener's queue: this is for handshakes that are under way, with one answer lost. Milliseconds. */
const QUEUE_MS = 3000;

export function listenTcp<C>(options: TcpListenOptions, core: Core<C>): Listener {
  const { hostname, port, seenAs, sharing, proxyHeaders, room } = options;
  const { connections } = room;
  const open = new Set<Leg>();
  const openings = new Openings(proxyHeaders);
  const drained = Promise.withResolvers<void>();
  let stopped = false;
  const begin = (socket: Bun.Socket<Owner>, peer: string, place: Place) => {
    place.from(peer);
    const leg = new Leg();
    socket.data = leg;
    leg.opened(socket);
    open.add(leg);
    leg.closed = () => {
      open.delete(leg);
      if (stopped && open.size === 0) drained.resolve();
    };
    const client: Client = { leg, connections };
    leg.bothClosed = () => place.leave();
    // There is nothing to tell it with.
    if (place.full !== null) return leg.reset();
    place.busy();
    void carry(client, { peer, port: seenAs }, core);
  };
  const settings: Bun.TCPSocketListenOptions<Owner> = {
    hostname,
    port,
    ...(sharing === null ? { exclusive: true } : { reusePort: true }),
    allowHalfOpen: true,
    data: new Leg(),
    socket: {
      ...HANDLERS,
      open(socket) {
        const place = connections.enter(() => socket.terminate());
        openings.add(
          socket,
          (peer) => begin(socket, peer, place),
          () => place.leave(),
        );
      },
    },
  };
  const openFirst = () => Bun.listen(settings);
  const { listener, socket, neighbours } = sharing === null ? bindAlone(openFirst) : bindShared(options, openFirst);
  const shared = handOverOf(socket, neighbours);
  return {
    port: listener.port,
    async close(how, idleMs = 0) {
      if (how === "finish" && sharing !== null) await shared.finish(Math.min(idleMs, QUEUE_MS));
      shared.cut();
      stopped = true;
      listener.stop(false);
      openings.reset();
      if (how === "now") for (const leg of open) leg.reset();
      if (open.size > 0) await drained.promise;
    },
    renew() {
      throw new Error("a TCP listener has no certificate");
    },
  };
}

// --- internal ---

interface Client {
  leg: Leg;
  connections: Connections;
}

/** Finds an app for the client; a client for which there is none is reset. */
async function carry<C>(client: Client, arrival: Arrival, core: Core<C>): Promise<void> {
  const { leg } = client;
  let circuit: C | null = null;
  try {
    const asked = core.admit(arrival);
    const admitted = asked instanceof Promise ? await asked : asked;
    circuit = admitted?.circuit ?? null;
    let attempt = admitted?.attempt ?? null;
    while (attempt !== null) {
      const fault = await connect(client, attempt);
      if (fault === null) return;
      const next: Attempt | null = attempt.next(fault, { hasBody: false, clientGone: leg.isOver, stale: false });
      // A client that has left is nobody's failure.
      if (next === null && !leg.isOver) core.unanswered(arrival, fault, circuit);
      attempt = next;
    }
  } catch (error) {
    core.unanswered(arrival, new UpstreamFault("broken", reason(error), error), circuit);
  }
  leg.reset();
}

/** Joins the client with the app; gives what prevented it. */
async function connect({ leg: client, connections }: Client, attempt: Attempt): Promise<UpstreamFault | null> {
  // It may have left while it was admitted.
  if (client.isOver) return new UpstreamFault("revoked", "the client has left");
  const app = new Leg();
  const dialled = dial(attempt.target, app, APP_HANDLERS, { connections });
  attempt.stop = dialled.cancel;
  client.leave = dialled.cancel;
  try {
    await dialled.socket;
  } catch (error) {
    return error instanceof UpstreamFault ? error : new UpstreamFault("broken", reason(error), error);
  }
  attempt.connected(true);
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
