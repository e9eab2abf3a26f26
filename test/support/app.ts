/** A small app to put behind circuits: tells what it received, streams, echoes WebSockets. */

export interface App {
  port: number;
  /** Requests that reached it. */
  requests: { method: string; url: string; headers: Headers }[];
  stop(): Promise<void>;
}

export function startApp(): App {
  const requests: App["requests"] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request, self) {
      requests.push({ method: request.method, url: request.url, headers: new Headers(request.headers) });
      const { pathname, search } = new URL(request.url);
      if (request.headers.get("upgrade") === "websocket") {
        const protocol = request.headers.get("sec-websocket-protocol")?.split(",")[0]?.trim();
        const upgraded = self.upgrade(request, {
          data: undefined,
          ...(protocol === undefined ? {} : { headers: { "Sec-WebSocket-Protocol": protocol } }),
        });
        return upgraded ? undefined : new Response("no", { status: 400 });
      }
      switch (pathname) {
        case "/stream":
          return new Response(ticks(), { headers: { "Content-Type": "text/event-stream" } });
        case "/upload":
          return Response.json({ sha256: await sha256(request.body) });
        case "/redirect":
          return new Response(null, { status: 302, headers: { Location: "/elsewhere?x=1" } });
        case "/cookies":
          return new Response("ok", { headers: [["Set-Cookie", "a=1; Path=/"], ["Set-Cookie", "b=2; Domain=example.com"], ["Set-Cookie", "appproxy_permit_x=stolen"]] }); // prettier-ignore
        default:
          return Response.json({
            method: request.method,
            path: pathname + search,
            headers: Object.fromEntries(request.headers),
          });
      }
    },
    websocket: {
      open: (socket) => void socket.send("welcome"),
      message(socket, message) {
        if (message === "close 4321") socket.close(4321, "as asked");
        else socket.send(message);
      },
    },
  });
  return { port: server.port ?? 0, requests, stop: () => server.stop(true) };
}

export async function sha256(body: ReadableStream<Uint8Array> | null): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of body ?? []) hash.update(chunk);
  return hash.digest("hex");
}

// --- internal ---

/** Three events; the third waits until the reader asks for it, so a proxy that gathers chunks would hang. */
function ticks(): ReadableStream<string> {
  let count = 0;
  return new ReadableStream({
    pull(controller) {
      count++;
      if (count > 3) controller.close();
      else controller.enqueue(`data: ${count}\n\n`);
    },
  });
}
