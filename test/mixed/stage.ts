/** What the tests of mixed clusters see from outside: kernels that answer with a letter or an echo, and what a port says. */
import { until } from "../support/until.ts";

/** A kernel's app that answers with its letter. */
export function kernel(letter: string): { port: number; stop: () => Promise<void> } {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(letter) });
  return { port: server.port ?? 0, stop: () => server.stop(true) };
}

/** What a port says to somebody with these headers: `status text`; null where nothing listens. */
export async function page(port: number | null, headers: Record<string, string> = {}): Promise<string | null> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/`, {
      headers: { accept: "application/json", ...headers },
      keepalive: false,
    });
    const text = await answer.text();
    return answer.ok ? `${answer.status} ${text}` : `${answer.status} ${String((JSON.parse(text) as Problem).msg)}`;
  } catch (error) {
    // Refused, or closed between the two: a port that is being given up.
    if (error instanceof Error && "code" in error && GONE.has(String(error.code))) return null;
    throw error;
  }
}

/** Waits until a port says that. Less than a test's limit, at which the runner would end Redis as well. */
export async function untilPage(
  port: number | null,
  headers: Record<string, string>,
  wanted: string | null,
): Promise<void> {
  await until(async () => (await page(port, headers)) === wanted, 30_000, `port ${port} to say ${wanted}`);
}

/** Sends a line to a TCP port and gives what comes back; null when the connection is not carried. */
export async function echoed(port: number | null, line: string): Promise<string | null> {
  const { promise, resolve, reject } = Promise.withResolvers<string | null>();
  await Bun.connect({
    hostname: "127.0.0.1",
    port: port ?? 0,
    socket: {
      open: (socket) => void socket.write(line),
      data(socket, bytes) {
        resolve(bytes.toString());
        socket.end();
      },
      close: () => resolve(null),
      error: (_socket, error) => reject(error),
    },
  });
  return promise;
}

/** A kernel's TCP app that sends back what it gets. */
export function echo(): { port: number; stop: () => Promise<void> } {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket, bytes) => void socket.write(bytes) },
  });
  return { port: listener.port, stop: async () => listener.stop(true) };
}

// --- internal ---

const GONE = new Set(["ConnectionRefused", "ECONNREFUSED", "ECONNRESET"]);

interface Problem {
  msg?: string;
}
