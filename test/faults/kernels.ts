/**
 * The apps of tenants: small servers in the harness that say whose they are. An address outlives its tenant: when one has
 * ended, the next one's kernel may get it, as on a real cluster.
 */

/** What a kernel says of itself: over HTTP, as the first message of a WebSocket, and with each line of a stream. */
export interface Identity {
  /** The session or the model service that it works for; null when it has ended. */
  tenant: string | null;
  port: number;
}

export interface Kernel extends Identity {
  /** Gives the address to another tenant; what was connected for the old one is cut. */
  handTo(tenant: string | null): void;
}

export interface Kernels {
  /** A kernel of this tenant, at an address that was another's before if there is one. */
  take(tenant: string): Kernel;
  /** The tenant's kernel has ended; its address may be given away from now on. */
  release(kernel: Kernel): void;
  stop(): Promise<void>;
}

/** Between two lines of a stream. Milliseconds. */
const TICK_MS = 50;

export function createKernels(): Kernels {
  const all: { kernel: Kernel; stop: () => Promise<void> }[] = [];
  /** The one that was given back last is given away first: what still leads to it shows. */
  const free: Kernel[] = [];
  return {
    take(tenant) {
      const kernel = free.pop() ?? create();
      kernel.handTo(tenant);
      return kernel;
    },
    release(kernel) {
      kernel.handTo(null);
      free.push(kernel);
    },
    stop: async () => void (await Promise.all(all.map(({ stop }) => stop()))),
  };

  function create(): Kernel {
    const started = startKernel();
    all.push(started);
    return started.kernel;
  }
}

// --- internal ---

function startKernel(): { kernel: Kernel; stop: () => Promise<void> } {
  const sockets = new Set<Bun.ServerWebSocket<undefined>>();
  const streams = new Set<() => void>();
  const say = () => JSON.stringify({ tenant: kernel.tenant, port: kernel.port } satisfies Identity);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch(request, self) {
      if (request.headers.get("upgrade") === "websocket")
        return self.upgrade(request) ? undefined : new Response("no", { status: 400 });
      if (new URL(request.url).pathname === "/stream") return new Response(stream());
      return new Response(say(), { headers: { "Content-Type": "application/json" } });
    },
    websocket: {
      open(socket) {
        sockets.add(socket);
        socket.send(say());
      },
      message: (socket, message) => void socket.send(message),
      close: (socket) => void sockets.delete(socket),
    },
  });
  function stream(): ReadableStream<string> {
    let end: () => void = () => undefined;
    return new ReadableStream<string>({
      start(controller) {
        const line = () => controller.enqueue(`${say()}\n`);
        const timer = setInterval(line, TICK_MS);
        end = () => {
          clearInterval(timer);
          streams.delete(end);
        };
        streams.add(end);
        line();
      },
      cancel: () => end(),
    });
  }
  const kernel: Kernel = {
    tenant: null,
    port: server.port ?? 0,
    handTo(tenant) {
      kernel.tenant = tenant;
      for (const socket of sockets) socket.terminate();
      for (const end of streams) end();
    },
  };
  return { kernel, stop: () => server.stop(true) };
}
