/** The two apps of one person: one whose pages attack, and one that has something to hide and counts who comes. */

/** What no page but the victim's own may ever have. It is a name in JavaScript and CSS too. */
export const SECRET = "theVictimsSecret";

export interface SeenApp {
  port: number;
  /** Requests that reached it: method, path and query, headers. */
  seen: { method: string; url: string; headers: [name: string, value: string][] }[];
  stop(): Promise<void>;
}

const LASTING = { "Cache-Control": "max-age=3600" };
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="77" height="77"/>`;
const PAGE = `<!doctype html><link rel=icon href=data:,><title>${SECRET}</title><h1>${SECRET}</h1><button>act</button>`;

/** By path: type and content. What it tells has no protection of its own. */
const TELLS: Record<string, [type: string, body: string]> = {
  "/": ["text/html", PAGE],
  "/data.js": ["text/javascript", `globalThis.stolen = "${SECRET}"; export default "${SECRET}";`],
  "/plain.js": ["text/javascript", `globalThis.stolen = "${SECRET}";`],
  "/style.css": ["text/css", `html { --stolen: ${SECRET}; }`],
  "/image.svg": ["image/svg+xml", SVG],
  "/words.vtt": ["text/vtt", `WEBVTT\n\n00:00.000 --> 00:01.000\n${SECRET}\n`],
  "/events": ["text/event-stream", `data: ${SECRET}\n\n`],
  // As a web app's own: it passes on what it is asked for.
  "/sw.js": [
    "text/javascript",
    `self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => event.respondWith(fetch(event.request)));`,
  ],
};

export function startVictim(): SeenApp {
  const seen: SeenApp["seen"] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, self) {
      const { pathname, search } = new URL(request.url);
      seen.push(seenOf(request));
      if (self.upgrade(request)) return undefined;
      const [type, body] = TELLS[pathname] ?? ["application/json", JSON.stringify({ secret: SECRET })];
      return new Response(body, { headers: { "Content-Type": type, ...(search === "?lasting" ? LASTING : {}) } });
    },
    websocket: {
      open: (socket) => void socket.send(SECRET),
      message: () => undefined,
    },
  });
  return { port: server.port ?? 0, seen, stop: () => server.stop(true) };
}

/** Answers every navigation in its scope itself, and tells its page of all that it sees. */
const SERVICE_WORKER = `self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => {
  event.waitUntil(clients.matchAll().then((all) => all.forEach((one) => one.postMessage(event.request.url))));
  if (event.request.mode === "navigate")
    event.respondWith(new Response("<h1>hijacked</h1>", { headers: { "Content-Type": "text/html" } }));
});`;

/**
 * Its server answers as its pages ask: `?set=` and `?more=` are lines of the answer's head, `?to=` redirects with `?status=`. Its pages tell
 * others all of their address, as far as browsers let them.
 */
export function startHostile(): SeenApp {
  const seen: SeenApp["seen"] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      seen.push(seenOf(request));
      const { pathname, searchParams } = new URL(request.url);
      const headers = new Headers({ "Content-Type": "text/html", "Referrer-Policy": "unsafe-url" });
      for (const line of searchParams.getAll("set")) headers.append("Set-Cookie", line);
      for (const [name, value] of searchParams) if (name.startsWith("header-")) headers.set(name.slice(7), value);
      const to = searchParams.get("to");
      if (to !== null) headers.set("Location", to);
      const status = to === null ? 200 : Number(searchParams.get("status") ?? 302);
      if (pathname === "/sw.js") {
        headers.set("Content-Type", "text/javascript");
        headers.set("Service-Worker-Allowed", "/");
        return new Response(SERVICE_WORKER, { headers });
      }
      return new Response("<!doctype html><link rel=icon href=data:,><h1>hostile</h1>", { status, headers });
    },
  });
  return { port: server.port ?? 0, seen, stop: () => server.stop(true) };
}

// --- internal ---

function seenOf({ method, url, headers }: Request): SeenApp["seen"][number] {
  const { pathname, search } = new URL(url);
  return { method, url: pathname + search, headers: [...headers] };
}
