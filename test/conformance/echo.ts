/** The peers that the fuzzer tries: Bun's WebSocket server and client, each giving back what comes. Both agree to compression. */

/** The longest message of Autobahn's has 16 MiB. */
const MOST_BYTES = 64 * 2 ** 20;

export interface EchoServer {
  port: number;
  stop(): Promise<void>;
}

export function startEchoServer(): EchoServer {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, self) =>
      self.upgrade(request, { data: undefined }) ? undefined : new Response("a WebSocket is wanted", { status: 400 }),
    websocket: {
      perMessageDeflate: true,
      maxPayloadLength: MOST_BYTES,
      backpressureLimit: 4 * MOST_BYTES,
      idleTimeout: 0,
      message: (socket, message) => void socket.send(message, true),
    },
  });
  return { port: server.port ?? 0, stop: () => server.stop(true) };
}

/**
 * Goes through all cases of the fuzzing server to which `url` leads, as `agent`, and has it write its report. `host` is the
 * server's own: Autobahn takes no other.
 */
export async function echoAll(url: string, host: string, agent: string): Promise<void> {
  const name = encodeURIComponent(agent);
  const said = await once(`${url}getCaseCount`, host);
  if (!/^\d+$/.test(said)) throw new Error(`cannot read how many cases ${url} has: ${said}`);
  for (let at = 1; at <= Number(said); at++) await once(`${url}runCase?case=${at}&agent=${name}`, host);
  await once(`${url}updateReports?agent=${name}`, host);
}

// --- internal ---

/** One connection: everything is given back until it is closed, however that happens. Gives the first text, or what went wrong. */
function once(url: string, host: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let first: string | null = null;
  const socket = new WebSocket(url, { headers: { Host: host } });
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data === "string") first ??= data;
    socket.send(data);
  };
  socket.onclose = ({ code, reason }) => resolve(first ?? `closed with ${code} ${reason}`);
  return promise;
}
