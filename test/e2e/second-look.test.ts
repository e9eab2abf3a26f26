/**
 * A person whose machine has an address of each family, in Chromium and with ssh: the page of a TCP app's link lets in the other
 * address by itself, and a web app's link that comes over the other family the second time still opens the app.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { startApp, type App } from "../support/app.ts";
import { startSshd, type Sshd } from "../support/apps/ssh.ts";
import { closedPage, startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { startLoneCoordinator } from "../support/lone-coordinator.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { spawnService } from "../support/spawned.ts";
import { workerToml } from "../support/toml.ts";

const STEP_MS = 120_000;

const stack = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "app-proxy-look-"));
stack.defer(() => rmSync(directory, { recursive: true, force: true }));

let browser: Browser;
let sshd: Sshd;
let app: App;
beforeAll(async () => {
  sshd = await startSshd(directory, (step) => stack.defer(step));
  browser = await startBrowser();
  stack.defer(() => browser.close());
  app = startApp();
  stack.defer(() => app.stop());
}, STEP_MS);
afterAll(() => stack.disposeAsync(), STEP_MS);

/** Links begin at the API's IPv6 address; `ipv4` is where it is told to be over IPv4. */
async function dualStack(worker: Record<string, unknown>, ipv4?: number): Promise<Cluster> {
  const port = await freePort();
  const cluster = await startCluster({
    worker: {
      ...worker,
      api_bind_addr: `[::]:${port}`,
      api_advertised_addr: `[::1]:${port}`,
      api_advertised_addr_ipv4: `127.0.0.1:${ipv4 ?? port}`,
      port_proxy: { bind_host: "::", advertised_host: "localhost" },
    },
  });
  stack.defer(() => cluster.stop());
  return cluster;
}

/** A link to a circuit, as a person's client gets it. */
async function linkTo({ manager }: Cluster, kernelPort: number, wish: Record<string, unknown>): Promise<string> {
  const { token, sessionId } = await manager.conf({ kernel_port: kernelPort });
  const opened = await manager.auth(token, sessionId, wish);
  const link = String(opened.body["redirect_url"]);
  expect(new URL(link).hostname).toBe("[::1]");
  return link;
}

const sshLink = (cluster: Cluster, more: Record<string, unknown> = {}) =>
  linkTo(cluster, sshd.port, { app: "sshd", protocol: "tcp", ...more });

const addressesOn = async (page: Page) =>
  (await page.locator("li").allInnerTexts()).map((text) => text.replace(/,.*$/, ""));
const portOn = async (page: Page) => Number(/:(\d+)$/.exec(await page.locator("code").innerText())?.[1]);

async function runs(port: number, host: string): Promise<number> {
  return (await sshd.ssh(port, "true", host)).code;
}

describe.each(["serve", "sockets"] as const)("a TCP app's link, engine %s", (engine) => {
  let cluster: Cluster;
  beforeAll(async () => void (cluster = await dualStack({ protocol: "tcp", engine })), STEP_MS);

  test("its page lets in both addresses, and ssh connects over either", async () => {
    const { page, strayed, errors } = await closedPage(browser);
    await page.goto(await sshLink(cluster));
    await page.getByText("127.0.0.1, until").waitFor();
    expect([await addressesOn(page), await page.locator("main a").count()]).toEqual([["::1", "127.0.0.1"], 0]);
    const port = await portOn(page);
    expect([await runs(port, "127.0.0.1"), await runs(port, "::1")]).toEqual([0, 0]);
    expect([strayed, errors]).toEqual([[], []]);
    // The same link once more, by a person who loads the page again.
    await page.reload();
    expect(await addressesOn(page)).toEqual(["::1", "127.0.0.1"]);
    await page.close();
  }, 600_000);

  test("without its script a click does the same; before it ssh is turned away over the other family", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false, locale: "ko-KR" });
    context.setDefaultTimeout(STEP_MS);
    const page = await context.newPage();
    await page.goto(await sshLink(cluster));
    const port = await portOn(page);
    expect(await addressesOn(page)).toEqual(["::1"]);
    expect([await runs(port, "::1"), await runs(port, "127.0.0.1")]).toEqual([0, 255]);
    await page.getByRole("link", { name: "다른 주소도 허용하기" }).click();
    await page.getByText("127.0.0.1, 2").waitFor();
    expect(new URL(page.url()).hostname).toBe("[::1]");
    expect([await addressesOn(page), await page.locator("main a").count()]).toEqual([["::1", "127.0.0.1"], 0]);
    expect(await runs(port, "127.0.0.1")).toBe(0);
    await context.close();
  }, 600_000);

  test("one that leads to the person's own client looks on the way there", async () => {
    const { page, strayed } = await closedPage(browser);
    const client = page.waitForRequest((request) => request.url().startsWith("http://localhost:45678/start?"));
    // Nothing may listen there.
    await page.goto(await sshLink(cluster, { redirect: "/x" })).catch(() => null);
    const gateway = new URL(new URL((await client).url()).searchParams.get("gateway") ?? "");
    expect([gateway.hostname, strayed]).toEqual(["localhost", []]);
    expect(await runs(Number(gateway.port), "127.0.0.1")).toBe(0);
    await page.close();
  }, 600_000);

  test("a program lets in its other address by the second link", async () => {
    const answer = (await (await fetch(await sshLink(cluster))).json()) as Record<string, string>;
    const port = Number(new URL(new URL(answer["redirect"] ?? "").searchParams.get("gateway") ?? "").port);
    expect(await runs(port, "127.0.0.1")).toBe(255);
    expect((await fetch(answer["second_look"] ?? "")).status).toBe(200);
    expect(await runs(port, "127.0.0.1")).toBe(0);
  }, 600_000);
});

test("two nodes of one worker, one for each family, let in both addresses between them", async () => {
  const platform = await startLoneCoordinator({});
  stack.defer(() => platform.stop());
  const [api, low] = [await freePort(), await freeRange(4)];
  for (const host of ["127.0.0.1", "::1"]) {
    const worker = {
      protocol: "tcp",
      api_bind_addr: { host, port: api },
      api_advertised_addr: `localhost:${api}`,
      api_advertised_addr_ipv4: `127.0.0.1:${api}`,
      api_advertised_addr_ipv6: `[::1]:${api}`,
      port_proxy: { bind_host: host, advertised_host: "localhost" },
    };
    const file = join(directory, `${host.replaceAll(":", "")}.toml`);
    const { baseUrl } = platform.manager;
    writeFileSync(file, workerToml(baseUrl, low, 4, { redisPort: platform.redis.port, worker }));
    const node = spawnService("worker/main.ts", ["--config", file]);
    stack.defer(async () => void (await node.stop("SIGKILL")));
    await node.said("circuits are known");
  }
  const { token, sessionId } = await platform.manager.conf({ kernel_port: sshd.port });
  const opened = await platform.manager.auth(token, sessionId, { app: "sshd", protocol: "tcp" });
  const link = String(opened.body["redirect_url"]).replace("localhost", "127.0.0.1");
  const told = async (url: string) => (await (await fetch(url)).json()) as Record<string, string>;
  const { redirect = "", second_look: look = "" } = await told(link);
  const port = Number(new URL(new URL(redirect).searchParams.get("gateway") ?? "").port);
  expect([await runs(port, "127.0.0.1"), await runs(port, "::1")]).toEqual([0, 255]);
  expect((await told(look))["allowed"]).toMatchObject([{ address: "127.0.0.1" }, { address: "::1" }]);
  expect([await runs(port, "127.0.0.1"), await runs(port, "::1")]).toEqual([0, 0]);
}, 600_000);

test("a page that can't look keeps saying which address was let in", async () => {
  const cluster = await dualStack({ protocol: "tcp" }, await freePort());
  const { page, errors } = await closedPage(browser);
  const failed = page.waitForEvent("requestfailed", (request) => request.url().includes("/setup/second-look"));
  await page.goto(await sshLink(cluster));
  await failed;
  expect([await addressesOn(page), errors]).toEqual([["::1"], []]);
  expect(await page.getByRole("link", { name: "Let in my other address" }).count()).toBe(1);
  expect([await runs(await portOn(page), "::1"), await runs(await portOn(page), "127.0.0.1")]).toEqual([0, 255]);
  await page.close();
}, 600_000);

describe("a web app's link that the platform's page has fetched over IPv6", () => {
  let context: BrowserContext;
  let platform: ReturnType<typeof Bun.serve>;
  beforeAll(async () => {
    context = await browser.newContext();
    context.setDefaultTimeout(STEP_MS);
    platform = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("<title>platform</title>", { headers: { "Content-Type": "text/html" } }),
    });
  });
  afterAll(async () => {
    await context.close();
    await platform.stop(true);
  });

  /** Fetches the link as the platform's page does, and gives the page with the link's address over IPv4. */
  async function fetched(cluster: Cluster): Promise<{ page: Page; link: string }> {
    const link = await linkTo(cluster, app.port, { redirect: "/hello" });
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${platform.port}/`);
    await page.evaluate(async (url) => void (await fetch(url).catch(() => null)), link);
    return { page, link: link.replace("[::1]", "127.0.0.1") };
  }

  test("opens the app over IPv4", async () => {
    const { page, link } = await fetched(await dualStack({}));
    await page.goto(link);
    await page.waitForURL(/^http:\/\/localhost:\d+\/hello$/);
    await page.close();
  }, 600_000);

  test("is another's for who has no way to show it over IPv6", async () => {
    const { page, link } = await fetched(await dualStack({}));
    await page.route(/^http:\/\/\[::1\]/, (route) => route.abort());
    await page.goto(link);
    await page.getByRole("heading", { name: "This link was used already" }).waitFor();
    expect(new URL(page.url()).hostname).toBe("127.0.0.1");
    await page.close();
  }, 600_000);
});
