/**
 * The platform's WebUI opens apps at the first try: its own sequence in Chromium, from pages on the worker's host, on its
 * site and on another site, over http that browsers trust (loopback) and do not trust, and over https.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { dial } from "../contract/client.ts";
import { startBrowser } from "../support/browser.ts";
import { startCertificates, type Certificates } from "../support/certificates.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { freePort } from "../support/ports.ts";
import { openWebUi } from "../support/webui.ts";
import { expectOpened, servePage, startSeenApp, startService, type SeenApp } from "../support/webui-stage.ts";

const KINDS = ["port", "wildcard", "tcp"] as const;
type Kind = (typeof KINDS)[number];

const SITES = ["the worker's host", "the worker's site", "another site"];
/** The worker's name, then the WebUI's names in the order of the sites. */
const SCHEMES: [string, boolean, string, string[]][] = [
  ["http on loopback", false, "worker.one.localhost", ["worker.one.localhost", "webui.one.localhost", "webui.two.localhost"]],
  ["plain http", false, "worker.one.example", ["worker.one.example", "webui.one.example", "webui.two.example"]],
  ["https", true, "worker.one.example", ["worker.one.example", "webui.one.example", "webui.two.example"]],
]; // prettier-ignore

let browser: Browser;
let certificates: Certificates;
let app: SeenApp;

beforeAll(async () => {
  browser = await startBrowser();
  certificates = startCertificates("worker.one.example");
  app = startSeenApp("same-origin");
}, 600_000);

afterAll(async () => {
  await browser.close();
  await app.stop();
  certificates.remove();
}, 600_000);

describe.each(SCHEMES)("over %s", (_name, tls, host, names) => {
  const clusters = {} as Record<Kind, Cluster>;
  let greeter: Bun.TCPSocketListener;
  let page: Bun.Server<undefined>;

  beforeAll(async () => {
    for (const kind of KINDS) clusters[kind] = await startCluster({ ports: 32, worker: await section(kind) });
    greeter = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open: (s) => void s.write("hello"), data() {} } });
    page = servePage({}, tls ? certificates : undefined);
  }, 600_000);

  afterAll(async () => {
    for (const cluster of Object.values(clusters)) await cluster.stop();
    greeter.stop(true);
    await page.stop(true);
  }, 600_000);

  async function section(kind: Kind): Promise<Record<string, unknown>> {
    const api = await freePort();
    const wildcard = { domain: `.apps.${host}`, bind_addr: `127.0.0.1:${await freePort()}` };
    return {
      api_bind_addr: `127.0.0.1:${api}`,
      api_advertised_addr: `${host}:${api}`,
      port_proxy: { advertised_host: host },
      ...(kind === "wildcard" ? { frontend_mode: "wildcard", wildcard_domain: wildcard } : {}),
      ...(kind === "tcp" ? { protocol: "tcp" } : {}),
      ...(tls ? { tls_listen: true, tls_advertised: true, tls_cert: certificates.cert, tls_privkey: certificates.key } : {}),
    }; // prettier-ignore
  }

  describe.each(SITES.map((site, at): [string, string] => [site, names[at] ?? ""]))("from a page on %s", (_site, name) => {
    const visit = () => openWebUi(browser, `${tls ? "https" : "http"}://${name}:${page.port}/`);

    test.each(["port", "wildcard"] as const)("an app in %s mode opens, and only the window reaches it", async (kind) => {
      const webui = await visit();
      app.seen.length = 0;
      const session = await startService(clusters[kind], app.port);
      const { appConnectUrl } = await webui.launch({ ...session, app: "jupyter", protocol: "http", more: { redirect: "/lab" } });
      expect(app.seen).toEqual([]);
      await expectOpened(webui, appConnectUrl, "/lab");
      expect(app.seen).toEqual(["/lab"]);
      await webui.leave();
    }, 600_000); // prettier-ignore

    test("a TCP app is told where to connect, whether it is known by name or fetched twice", async () => {
      const webui = await visit();
      for (const [name, protocol] of [["sshd", "tcp"], ["vnc", "vnc"], ["redis", "tcp"]] as const) {
        const session = await startService(clusters.tcp, greeter.port);
        const { tcpHost, tcpPort } = await webui.launch({ ...session, app: name, protocol });
        expect([name, tcpHost]).toEqual([name, host]);
        // The original says `reuse` of one that was opened as VNC or RDP; the WebUI then shows the worker's API port.
        expect(await webui.launch({ ...session, app: name, protocol })).toMatchObject({ reused: false, tcpPort });
        const wire = await dial(Number(tcpPort));
        expect(await wire.readThrough("hello")).toBe("hello");
        wire.close();
      } // prettier-ignore
      expect(webui.errors).toEqual([]);
      await webui.leave();
    }, 600_000);
  }); // prettier-ignore
});
