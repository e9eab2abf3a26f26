/** The ports of an old worker's circuits: an HTTP server or a raw TCP relay each, and the usage keys that the platform reads. */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Redis } from "ioredis";
import { problem, refusal, type AdmitSecrets } from "./admit.ts";
import type { OldCircuit, OldRoute } from "./wire.ts";

export interface OldFrontends {
  /** Opens the circuit's port; one that is open goes on with what the circuit says now. */
  open(circuit: OldCircuit): Promise<void>;
  close(id: string): Promise<void>;
  /** Ports that are open. */
  ports(): number[];
}

type Listening = { circuit: OldCircuit; next: number; stop: () => Promise<void> };

const LIVE_TTL = 2 * 24 * 3600;

/** `live` is a connection to database 2. */
export function createOldFrontends(secrets: AdmitSecrets, live: Redis, fault: (error: unknown) => void): OldFrontends {
  const listening = new Map<string, Listening>();

  async function serve(request: Request, state: Listening): Promise<Response> {
    const { circuit } = state;
    const refused = await refusal(request, circuit, secrets);
    if (refused !== null) return refused;
    const route = pick(state);
    if (route === undefined) return problem(503, "service-unavailable", "No route to the service");
    await used(circuit, live);
    const { pathname, search } = new URL(request.url);
    const headers = new Headers(request.headers);
    headers.set("X-Forwarded-Host", headers.get("host") ?? "");
    headers.delete("connection");
    try {
      const answer = await fetch(
        `http://${route.kernel_host ?? "localhost"}:${route.kernel_port}${pathname}${search}`,
        {
          method: request.method,
          headers,
          body: request.body,
          redirect: "manual",
          decompress: false,
        },
      );
      return new Response(answer.body, { status: answer.status, headers: answer.headers });
    } catch (error) {
      return problem(
        502,
        "appproxy/container-connection-refused",
        `Cannot connect to Backend.AI kernel: ${String(error)}`,
      );
    }
  }

  function relay(client: Socket, state: Listening): void {
    const route = pick(state);
    if (route === undefined) return void client.destroy();
    used(state.circuit, live).catch(fault);
    const kernel = connect(route.kernel_port, route.kernel_host ?? "localhost");
    for (const [one, other] of [
      [client, kernel],
      [kernel, client],
    ] as const) {
      one.pipe(other);
      // A peer that resets its connection ends the other one; nothing else can be done about it.
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  }

  return {
    async open(circuit) {
      const known = listening.get(circuit.id);
      if (known !== undefined) return void (known.circuit = circuit);
      const state: Listening = { circuit, next: 0, stop: async () => undefined };
      listening.set(circuit.id, state);
      state.stop =
        circuit.protocol === "tcp"
          ? await listenTcp(circuit.port, (socket) => relay(socket, state))
          : listenHttp(circuit.port, (request) => serve(request, state));
    },
    async close(id) {
      const known = listening.get(id);
      listening.delete(id);
      await known?.stop();
    },
    ports: () => [...listening.values()].map(({ circuit }) => circuit.port ?? 0),
  };
}

// --- internal ---

/** In turn, whatever their ratios. */
function pick(state: Listening): OldRoute | undefined {
  const routes = state.circuit.route_info;
  return routes[state.next++ % routes.length];
}

async function used(circuit: OldCircuit, live: Redis): Promise<void> {
  const now = String(Date.now() / 1000);
  const write = live.pipeline();
  for (const session of circuit.session_ids) write.set(`session.${session}.last_access`, now, "EX", LIVE_TTL);
  write.set(`circuit.${circuit.id}.last_access`, now, "EX", LIVE_TTL);
  write.incr(`circuit.${circuit.id}.requests`).expire(`circuit.${circuit.id}.requests`, LIVE_TTL);
  await write.exec();
}

function listenHttp(port: number | null, fetch: (request: Request) => Promise<Response>): () => Promise<void> {
  const server = Bun.serve({ hostname: "127.0.0.1", port: port ?? 0, idleTimeout: 0, fetch });
  return () => server.stop(true);
}

async function listenTcp(port: number | null, accept: (socket: Socket) => void): Promise<() => Promise<void>> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    accept(socket);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(port ?? 0, "127.0.0.1", resolve);
  await promise;
  return async () => {
    const closed = Promise.withResolvers<void>();
    server.close(() => closed.resolve());
    for (const socket of open) socket.destroy();
    await closed.promise;
  };
}
