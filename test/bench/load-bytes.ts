/** Many bytes in one direction over one connection, by HTTP or by plain TCP, and how fast it went. Run by load.ts. */
export interface BytesOptions {
  port: number;
  direction: "download" | "upload";
  /** As many as the upstream was started for. */
  bytes: number;
  /** Null: plain TCP. */
  http: { host: string; cookie: string } | null;
}

const BLOCK = new Uint8Array(1024 * 1024);

export async function loadBytes({ port, direction, bytes: wanted, http }: BytesOptions): Promise<object> {
  const upload = direction === "upload";
  const opening = http === null ? (upload ? "U" : "D") : head(upload, wanted, http);
  let left = upload ? wanted : 0;
  let received = 0;
  let tail = "";
  const ended = Promise.withResolvers<void>();
  const began = performance.now();
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.write(opening);
        left -= send(socket, left);
      },
      drain: (socket) => void (left -= send(socket, left)),
      data(_socket, bytes) {
        received += bytes.length;
        if (upload) tail += bytes.toString("latin1");
      },
      close: () => ended.resolve(),
      error: (_socket, error) => ended.reject(error),
    },
  });
  await ended.promise;
  const seconds = (performance.now() - began) / 1000;
  if (upload && !tail.includes(http === null ? "done" : `"bytes":${wanted}`))
    throw new Error(`the app did not get it all: ${tail.slice(-300)}`);
  // The head and chunk sizes come on top.
  if (!upload && (received < wanted || received > wanted * 1.01))
    throw new Error(`${received} bytes came; wanted ${wanted}`);
  return { megabytesPerSecond: wanted / 1e6 / seconds };
}

// --- internal ---

function head(upload: boolean, bytes: number, { host, cookie }: { host: string; cookie: string }): string {
  const line = upload ? `PUT /upload HTTP/1.1\r\nContent-Length: ${bytes}` : "GET /big HTTP/1.1";
  return `${line}\r\nHost: ${host}\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`;
}

/** Writes as much as the socket takes now, and says how much. */
function send(socket: Bun.Socket, left: number): number {
  let sent = 0;
  while (sent < left) {
    const part = left - sent < BLOCK.length ? BLOCK.subarray(0, left - sent) : BLOCK;
    const written = socket.write(part);
    if (written <= 0) break;
    sent += written;
    if (written < part.length) break;
  }
  return sent;
}
