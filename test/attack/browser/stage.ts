/** One person with two apps open in Chromium, by port or by name, over each engine; a page of the one attacks the other. */
import { Database } from "bun:sqlite";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { startCertificates } from "../../support/certificates.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { freePort } from "../../support/ports.ts";
import { isFull } from "../options.ts";
import { startHostile, startVictim, type SeenApp } from "./apps.ts";

export interface Shape {
  frontend: "port" | "name";
  engine: "sockets" | "serve";
  scheme: "http" | "https";
  /** Another name of 127.0.0.1 for ports: of loopback's browsers believe that nobody listens in. */
  host?: string;
  /** Of the worker's configuration. */
  more?: Record<string, unknown>;
}

/** On loopback browsers say how they ask (Sec-Fetch-*), as they do over https. */
export const SHAPES: Shape[] = (["http", "https"] as const)
  .slice(0, isFull ? 2 : 1)
  .flatMap((scheme) =>
    (["port", "name"] as const).flatMap((frontend) =>
      (["sockets", "serve"] as const).map((engine) => ({ scheme, frontend, engine })),
    ),
  );

/** How long one step in the browser may take on a busy machine. Milliseconds. */
const STEP_MS = 60_000;

/** The hostile app, the one that it attacks, and another like that. */
type App = "a" | "b" | "c";

interface Opened {
  origin: string;
  /** Its permit's cookie. */
  permit: string;
  circuitId: string;
}

export interface Scene {
  cluster: Cluster;
  /** Scheme, host and port of the worker's own API. */
  api: string;
  victim: SeenApp;
  hostile: SeenApp;
  /** The first two apps are open in it. */
  context: BrowserContext;
  a: Opened;
  b: Opened;
  /** The person opens an app in this page. */
  open(page: Page, app: App): Promise<Opened>;
  /** A link to the app, as the coordinator gives it for a token of the Manager's. */
  link(app: App): Promise<{ url: string; token: string; circuitId: string }>;
  /** A new page of the hostile app. */
  hostilePage(): Promise<Page>;
  /** A page of the hostile app, in a browser in which nothing else is open but these; who asks for it closes its context. */
  apart(...apps: App[]): Promise<Page>;
  /** How many tokens of the Manager's there are. */
  tokens(): number;
  stop(): Promise<void>;
}

export async function setScene(browser: Browser, shape: Shape): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const hostile = stack.adopt(startHostile(), (one) => one.stop());
  const victim = stack.adopt(startVictim(), (one) => one.stop());
  const another = stack.adopt(startVictim(), (one) => one.stop());
  const certificates = stack.adopt(startCertificates("127.0.0.1"), (one) => one.remove());
  const files = { tls_listen: true, tls_cert: certificates.cert, tls_privkey: certificates.key };
  const worker = await sectionOf(shape, files);
  const cluster = stack.adopt(await startCluster({ worker }), (one) => one.stop());
  const newContext = async () => {
    const made = await browser.newContext({ ignoreHTTPSErrors: true });
    made.setDefaultTimeout(STEP_MS);
    return made;
  };
  const apps = { a: hostile, b: victim, c: another };
  const sessions = { a: crypto.randomUUID(), b: crypto.randomUUID(), c: crypto.randomUUID() };
  const link: Scene["link"] = async (app) => {
    const { token, sessionId } = await cluster.manager.conf({ kernel_port: apps[app].port, session_id: sessions[app] });
    const { body } = await cluster.manager.auth(token, sessionId);
    return { url: String(body["redirect_url"]), token, circuitId: String(body["circuit_id"]) };
  };
  const open: Scene["open"] = async (page, app) => {
    const { url, circuitId } = await link(app);
    await page.goto(url);
    const prefix = shape.scheme === "https" ? "__Host-" : "";
    return {
      origin: new URL(page.url()).origin,
      circuitId,
      permit: `${prefix}appproxy_permit_${circuitId.slice(0, 8)}`,
    };
  };
  const context = stack.adopt(await newContext(), (one) => one.close());
  const page = await context.newPage();
  const [b, a] = [await open(page, "b"), await open(page, "a")];
  await page.close();
  const all = stack.move();
  return {
    cluster,
    api: cluster.workerApi.replace("http:", new URL(b.origin).protocol),
    victim,
    hostile,
    context,
    a,
    b,
    open,
    link,
    async hostilePage() {
      const made = await context.newPage();
      await made.goto(a.origin);
      return made;
    },
    async apart(...others) {
      const made = await (await newContext()).newPage();
      for (const app of others) await open(made, app);
      await open(made, "a");
      return made;
    },
    tokens: () => tokensIn(cluster),
    stop: () => all.disposeAsync(),
  };
}

/** Runs the text of a function in a page. */
export const run = (page: Page, script: string, ...given: unknown[]): Promise<unknown> =>
  page.evaluate(`(${script})(...${JSON.stringify(given)})`);

let attempts = 0;

/** An address of the other app that nobody else asks for. */
export const target = (scene: Scene, path = "/"): string => `${scene.b.origin}${path}?n=${++attempts}`;

/** The methods with which that reached the other app. */
export const reached = (scene: Scene, url: string): string[] =>
  scene.victim.seen.filter((one) => url.endsWith(one.url)).map(({ method }) => method);

/** What the person sees of the other app in a page of its own. */
export const isIn = async (scene: Scene, page: Page): Promise<[status: number | undefined, title: string]> => [
  (await page.goto(scene.b.origin))?.status(),
  await page.title(),
];

// --- internal ---

/** A domain that browsers resolve to loopback by themselves. */
const BY_NAME = { frontend_mode: "wildcard", wildcard_domain: { domain: ".apps.localhost", bind_addr: "127.0.0.1:0" } };

async function sectionOf(
  { frontend, engine, scheme, host, more }: Shape,
  files: object,
): Promise<Record<string, unknown>> {
  const own = { engine, ...more, ...(frontend === "port" ? {} : BY_NAME), ...(scheme === "http" ? {} : files) };
  if (host === undefined) return own;
  const api = await freePort();
  return {
    ...own,
    api_bind_addr: `127.0.0.1:${api}`,
    api_advertised_addr: `${host}:${api}`,
    port_proxy: { advertised_host: host },
  };
}

function tokensIn({ database: file }: Cluster): number {
  using database = new Database(file, { readonly: true });
  return (database.query("SELECT count(*) AS n FROM tokens").get() as { n: number }).n;
}
