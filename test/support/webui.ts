/**
 * Plays the platform's WebUI as far as it opens apps: the requests of its launcher (lablup/backend.ai-webui,
 * react/src/hooks/useBackendAIAppLauncher.tsx, read in November 2026), sent by a page in Chromium in the same order and
 * with the same options. What it does with the answers is told below, line by line.
 */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { until } from "./until.ts";

export interface Launch {
  /** What startService of the Manager gives. */
  coordinator: string;
  token: string;
  sessionId: string;
  app: string;
  protocol: string;
  /** More of the query of `/add`. */
  more?: Record<string, string>;
}

/** What the launcher knows at the end. */
export interface Launched {
  reused: boolean;
  /** It opens a window with this for HTTP apps. */
  appConnectUrl: string;
  /** For TCP apps it shows these. */
  tcpHost: string | null;
  tcpPort: string | null;
}

export interface WebUi {
  /** The part of the launcher before a window is opened. Rejects with the message that its user would see. */
  launch(wish: Launch): Promise<Launched>;
  /** Opens a window as the launcher does, and gives it when it has loaded. */
  open(url: string): Promise<Page>;
  /** Fetches as its `_close_wsproxy`, which knows only the access key. */
  close(wish: Pick<Launch, "coordinator" | "sessionId" | "app">): Promise<boolean>;
  /** What any of its pages and windows has in its console as an error: what failed to load is there too. */
  errors: string[];
  page: Page;
  context: BrowserContext;
  leave(): Promise<void>;
}

/** A person has the WebUI open at this address. */
export async function openWebUi(browser: Browser, url: string): Promise<WebUi> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(60_000);
  const errors: string[] = [];
  context.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  context.on("weberror", (error) => errors.push(error.error().message));
  const page = await context.newPage();
  await page.goto(url);
  return {
    launch: (wish) => page.evaluate(launchInPage, wish),
    async open(target) {
      const window = context.waitForEvent("page");
      await page.evaluate(`void open(${JSON.stringify(target)}, "_blank")`);
      const opened = await window;
      // A window begins at about:blank.
      await until(() => opened.url() !== "about:blank", 60_000);
      await opened.waitForLoadState();
      return opened;
    },
    close: (wish) => page.evaluate(closeInPage, wish),
    errors,
    page,
    context,
    leave: () => context.close(),
  };
}

/** Runs in the page: nothing from outside it may be used. */
async function launchInPage({ coordinator, token, sessionId, app, protocol, more = {} }: Launch): Promise<Launched> {
  // TCP apps that it knows by name; it says what protocol two of them speak.
  const known = ["sshd", "vscode-desktop", "xrdp", "vnc"].includes(app);
  const stated: Record<string, string> = { vnc: "vnc", xrdp: "rdp", sshd: "tcp" };

  /** Answers that are no success are given as `{ status, body }`; only a failed request rejects. */
  async function send(url: string, init: RequestInit): Promise<Record<string, unknown>> {
    const answer = await fetch(url, { method: "GET", signal: AbortSignal.timeout(30_000), ...init });
    const type = answer.headers.get("content-type") ?? "";
    const body: unknown = /^application\/(problem\+)?json/.test(type) ? await answer.json() : await answer.text();
    // An opaque answer has status 0 and is not ok either: taken for a success.
    return answer.ok ? (body as Record<string, unknown>) : { status: answer.status, body };
  }

  const query = new URLSearchParams({ app });
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  query.set("protocol", stated[app] ?? protocol);
  const added = await send(`${coordinator}/v2/proxy/${token}/${sessionId}/add?${query.toString()}`, {});
  const authUrl = new URL(String(added["url"]));

  // Kept from an older app proxy, and put on each address from then on.
  const permitKey = localStorage.getItem("backendaiwebui.appproxy-permit-key");
  if (permitKey !== null) authUrl.searchParams.set("permit_key", permitKey);
  const opened = await send(authUrl.href, { headers: { Accept: "application/json" } });
  if (typeof opened["status"] === "number" && opened["status"] >= 400) {
    const { msg, title } = opened["body"] as { msg?: string; title?: string };
    throw new Error(msg ?? title);
  }
  const redirectUrl = String(opened["redirect_url"]);
  const reused = opened["reuse"] === true;
  const own = new URL(redirectUrl).searchParams.get("permit_key");
  if (own !== null) localStorage.setItem("backendaiwebui.appproxy-permit-key", own);

  if (!known && !reused) {
    for (let attempt = 0; attempt < 5; attempt++) {
      const { status } = await send(redirectUrl, { mode: "no-cors", redirect: "follow", credentials: "include" });
      // Read only where the WebUI has the worker's origin.
      if (![500, 501, 502].includes(Number(status))) break;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
  const target = new URL(redirectUrl);
  if (permitKey !== null) target.searchParams.set("permit_key", permitKey);

  let [tcpHost, tcpPort]: [string | null, string | null] = [null, null];
  if (known && reused) [tcpHost, tcpPort] = [target.hostname, target.port];
  else if (known) {
    const check = new URL(target);
    check.searchParams.set("do-not-redirect", "true");
    const told = (await (await fetch(check.href)).json()) as { redirectURI?: string };
    const client = new URL(told.redirectURI ?? "");
    if (client.searchParams.get("directTCP") !== "true") throw new Error("direct TCP is not supported");
    const gateway = new URL((client.searchParams.get("gateway") ?? "").replace("tcp", "http"));
    [tcpHost, tcpPort] = [gateway.hostname, gateway.port];
  } else if (authUrl.href.includes("protocol=tcp")) {
    const told = (await (await fetch(redirectUrl)).json()) as { redirect: string };
    const found = /gateway=tcp:\/\/([^:]+):(\d+)/.exec(decodeURIComponent(told.redirect));
    if (found === null) throw new Error("the proxy is not ready");
    [tcpHost, tcpPort] = [found[1] ?? null, found[2] ?? null];
  }
  return { reused, appConnectUrl: target.href, tcpHost, tcpPort };
}

async function closeInPage({ coordinator, sessionId, app }: Pick<Launch, "coordinator" | "sessionId" | "app">) {
  const url = new URL(`${coordinator}/v2/proxy/AKIAIOSFODNN7EXAMPLE/${sessionId}/delete?app=${app}`);
  const permitKey = localStorage.getItem("backendaiwebui.appproxy-permit-key");
  if (permitKey !== null) url.searchParams.set("permit_key", permitKey);
  // It goes on when this fails.
  return fetch(url.href, { method: "GET", credentials: "include", mode: "cors" }).then(
    (answer) => answer.ok,
    () => false,
  );
}
