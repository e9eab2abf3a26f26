/**
 * The engine on raw sockets: HTTP/1 read and written by itself, on both sides. A listener gives each connection to a
 * ClientConnection, which gives each request to an Exchange.
 */
import { bindAlone, bindShared } from "../../listeners/bind-shared.ts";
import { handOverOf } from "../../listeners/lane-handover.ts";
import type { TlsPair } from "../../../shared/runtime/tls.ts";
import type { Listener } from "../../listeners/types.ts";
import type { Core, Engine, ListenOptions } from "../../seam/engine.ts";
import type { Place } from "../../net/connections.ts";
import { Openings } from "../../protocols/proxy-protocol/openings.ts";
import { listenTcp } from "../tcp.ts";
import { HANDLERS, type Accepted } from "./accepted.ts";
import { SOCKETS_CAPABILITIES } from "./capabilities.ts";
import { ClientConnection, type Entrance } from "./client-connection.ts";
import { Greeting } from "./greeting.ts";

export const socketsEngine: Engine = { capabilities: SOCKETS_CAPABILITIES, listen, listenTcp };

// --- internal ---

function listen<C>(options: ListenOptions, core: Core<C>): Listener {
  const { hostname, port, frontend, sharing, limits } = options;
  let pair = options.tls;
  const isTls = pair !== null;
  const drained = Promise.withResolvers<void>();
  const greetings = new Set<Greeting>();
  let stopped = false;
  const { connections } = options.room;
  const entrance: Entrance<C> = {
    core,
    connections,
    limits,
    via: { tls: isTls, frontend },
    open: new Set(),
    renewals: 0,
    isLeaving: false,
    gone: () => {
      if (stopped && entrance.open.size === 0) drained.resolve();
    },
  };
  const openings = new Openings(options.proxyHeaders);
  const admit = (socket: Bun.Socket<Accepted>, peer: string, place: Place): Accepted => {
    const connection = new ClientConnection(entrance);
    connection.opened(socket, peer, place);
    return connection;
  };
  const greet = (socket: Bun.Socket<Accepted>, peer: string, place: Place, current: () => TlsPair): Accepted => {
    const greeted = (secure: Bun.Socket<Accepted>) => admit(secure, peer, place);
    const greeting = new Greeting(socket, current, greeted, (one, isDone) => {
      greetings.delete(one);
      if (!isDone) place.leave();
    });
    place.end = () => greeting.terminate();
    greetings.add(greeting);
    return greeting;
  };
  const begin = (socket: Bun.Socket<Accepted>, peer: string, place: Place): void => {
    place.from(peer);
    socket.data = pair === null ? admit(socket, peer, place) : greet(socket, peer, place, () => pair as TlsPair);
  };
  const settings: Bun.TCPSocketListenOptions<Accepted> = {
    hostname,
    port,
    ...(sharing === null ? { exclusive: true } : { reusePort: true }),
    allowHalfOpen: true,
    data: new ClientConnection(entrance),
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
      entrance.isLeaving = true;
      if (how === "finish" && sharing !== null) await shared.finish(idleMs);
      shared.cut();
      stopped = true;
      listener.stop(false);
      openings.reset();
      for (const greeting of greetings) greeting.terminate();
      for (const connection of entrance.open) {
        if (how === "now") connection.terminate();
        else connection.leave();
      }
      if (entrance.open.size > 0) await drained.promise;
    },
    renew(fresh) {
      if (!isTls) throw new Error("a listener without TLS has no certificate");
      pair = fresh;
      entrance.renewals++;
    },
  };
}
