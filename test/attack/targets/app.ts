/** An app that listens on every address of the machine, and knows at which of them it was connected to. */
import { createServer, type Socket } from "node:net";

export interface App {
  port: number;
  /** Local addresses of its connections since they were last taken. */
  take(): string[];
  /** How often it was asked for the path of probes. */
  probes: number;
}

/** Path of health checks. */
export const PROBE = "/probe";

export async function startApp(): Promise<App> {
  let taken: string[] = [];
  const server = createServer((socket: Socket) => {
    taken.push((socket.localAddress ?? "").replace(/^::ffff:(?=\d+\.)/, ""));
    // A client that leaves.
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      if (bytes.toString("latin1").startsWith(`GET ${PROBE} `)) app.probes++;
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "::", resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the app has no port");
  const app: App = {
    port: address.port,
    probes: 0,
    take() {
      const all = taken;
      taken = [];
      return all;
    },
  };
  return app;
}
