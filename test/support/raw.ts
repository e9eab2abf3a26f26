/** A server that sends exactly the bytes it is told, whatever was asked: for apps that misbehave on purpose. */

export interface RawServer {
  port: number;
  /** Sends bytes to whoever has just asked, and ends the connection if told so. */
  reply(bytes: string | Uint8Array, then?: "end"): void;
  /** All that was received. */
  received(): string;
  /** Connections that are open. */
  open(): number;
  stop(): Promise<void>;
}

/** `asked` is called when a whole request head has come. */
export async function rawServer(asked: (server: RawServer) => void): Promise<RawServer> {
  let received = "";
  let current: Bun.Socket | null = null;
  const sockets = new Set<Bun.Socket>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void sockets.add(socket),
      data(socket, bytes) {
        received += bytes.toString("latin1");
        current = socket;
        if (received.endsWith("\r\n\r\n")) asked(server);
      },
      close: (socket) => void sockets.delete(socket),
      error: (socket) => void sockets.delete(socket),
    },
  });
  const server: RawServer = {
    port: listener.port,
    reply(bytes, then) {
      current?.write(bytes);
      if (then === "end") current?.end();
    },
    received: () => received,
    open: () => sockets.size,
    async stop() {
      listener.stop(true);
    },
  };
  return server;
}

/** Sends bytes and gives all that comes back until the other side closes, or the first of it. */
export async function rawRequest(port: number, bytes: string, first = false): Promise<string> {
  let said = "";
  const closed = Promise.withResolvers<void>();
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(bytes),
      data(socket, data) {
        said += data.toString("latin1");
        if (first) socket.end();
      },
      close: () => closed.resolve(),
      error: () => closed.resolve(),
    },
  });
  await closed.promise;
  return said;
}
