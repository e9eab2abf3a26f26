/** What the WebUI's tests share: a page that is the WebUI's, an app behind a circuit, and what a person wants to see. */
import { expect } from "bun:test";
import type { Cluster } from "./cluster.ts";
import type { Certificates } from "./certificates.ts";
import type { Launch, WebUi } from "./webui.ts";

const HTML = { "Content-Type": "text/html" };

export interface SeenApp {
  port: number;
  /** Paths that were asked for. */
  seen: string[];
  stop(): Promise<void>;
}

/** An app with one page. helmet's default is `same-origin`: a page's no-cors fetch from another origin fails then. */
export function startSeenApp(resourcePolicy: "same-origin" | "cross-origin"): SeenApp {
  const seen: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      seen.push(pathname + search);
      const headers = { ...HTML, "Cross-Origin-Resource-Policy": resourcePolicy };
      return new Response("<!doctype html><link rel=icon href=data:,><h1>the app</h1>", { headers });
    },
  });
  return { port: server.port ?? 0, seen, stop: () => server.stop(true) };
}

/** Where the WebUI's page comes from; its address and headers decide what browsers allow it. */
export function servePage(headers: Record<string, string> = {}, tls?: Certificates): Bun.Server<undefined> {
  const fetch = () => new Response("<!doctype html><link rel=icon href=data:,>", { headers: { ...HTML, ...headers } });
  const files = tls === undefined ? {} : { tls: { cert: Bun.file(tls.cert), key: Bun.file(tls.key) } };
  return Bun.serve({ hostname: "127.0.0.1", port: 0, fetch, ...files });
}

/** What the Manager's startService gives for an app of a session of its own. */
export async function startService(
  { manager }: Cluster,
  kernelPort: number,
): Promise<Pick<Launch, "coordinator" | "token" | "sessionId">> {
  return { coordinator: manager.baseUrl, ...(await manager.conf({ kernel_port: kernelPort })) };
}

/** A window shows the app's page, and nothing was an error. */
export async function expectOpened(webui: WebUi, url: string, path: string): Promise<void> {
  const window = await webui.open(url);
  expect([await window.textContent("h1"), new URL(window.url()).pathname]).toEqual(["the app", path]);
  expect(webui.errors).toEqual([]);
}
