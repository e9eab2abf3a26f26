/**
 * Forty apps opened in one browser at one host: its cookies still fit into what other servers of the host take. nginx
 * refuses a header line over 8 KiB (large_client_header_buffers), aiohttp one over 8,190 bytes (max_field_size).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MAX_PERMITS } from "../../worker/access/permit-jar.ts";
import { startApp, type App } from "../support/app.ts";
import { closedPage, startBrowser } from "../support/browser.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";

const OPENINGS = 40;
let cluster: Cluster;
let app: App;
let directory: string;
const servers: Bun.Subprocess[] = [];
let nginx: string;
let aiohttp: string;

beforeAll(async () => {
  app = startApp();
  cluster = await startCluster({ ports: OPENINGS });
  directory = mkdtempSync(join(tmpdir(), "app-proxy-beside-"));
  nginx = await startNginx();
  aiohttp = await startAiohttp();
}, 120_000);

afterAll(async () => {
  for (const server of servers) server.kill();
  await Promise.all(servers.map((server) => server.exited));
  rmSync(directory, { recursive: true, force: true });
  await cluster.stop();
  await app.stop();
});

test("the permits of forty openings are 24, the newest, and nginx and aiohttp beside them still answer", async () => {
  const browser = await startBrowser();
  const { page } = await closedPage(browser);
  const names: string[] = [];
  const session_id = crypto.randomUUID();
  const { token } = await cluster.manager.conf({ kernel_port: app.port, session_id });
  for (let n = 0; n < OPENINGS; n++) {
    const opened = await cluster.manager.auth(token, session_id, { app: `app-${n}` });
    await page.goto(String(opened.body["redirect_url"]));
    names.push(`appproxy_permit_${String(opened.body["circuit_id"]).slice(0, 8)}`);
  }
  for (const server of [nginx, aiohttp]) {
    const answer = await page.goto(server);
    const cookie = (await answer?.text()) ?? "";
    const kept = cookie.split("; ").map((pair) => pair.slice(0, pair.indexOf("=")));
    expect([answer?.status(), kept.length, cookie.length < 3072]).toEqual([200, MAX_PERMITS, true]);
    // Issued within a few seconds: of permits of the same second either may go. The last one is there for certain.
    expect(kept).toContain(names.at(-1) ?? "");
  }
  await browser.close();
}, 600_000);

/** What both servers do with too many: the reason for all of this. */
test("nginx and aiohttp answer 400 to a Cookie header over 8 KiB", async () => {
  const headers = { Cookie: `a=${"x".repeat(9000)}` };
  const answers = await Promise.all([nginx, aiohttp].map((server) => fetch(server, { headers })));
  expect(answers.map(({ status }) => status)).toEqual([400, 400]);
});

// --- internal ---

/** Both say the `Cookie` header that they got. */
async function startNginx(): Promise<string> {
  const port = await freePort();
  const config = join(directory, "nginx.conf");
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`); // prettier-ignore
  writeFileSync(
    config,
    `daemon off; pid ${directory}/pid; error_log ${directory}/error; events {}
http { access_log off; ${paths.join(" ")}
server { listen 127.0.0.1:${port}; location / { default_type text/plain; return 200 "$http_cookie"; } } }`,
  );
  return listening(port, ["/usr/sbin/nginx", "-p", directory, "-c", config]);
}

async function startAiohttp(): Promise<string> {
  const port = await freePort();
  const program = `from aiohttp import web
async def cookie(request): return web.Response(text=request.headers.get("Cookie", ""))
app = web.Application()
app.router.add_get("/{path:.*}", cookie)
web.run_app(app, host="127.0.0.1", port=${port}, print=None)`;
  return listening(port, ["/usr/bin/python3", "-c", program]);
}

async function listening(port: number, command: string[]): Promise<string> {
  servers.push(Bun.spawn(command, { stdout: "ignore", stderr: "ignore" }));
  const url = `http://127.0.0.1:${port}/`;
  await until(() => fetch(url).then(({ ok }) => ok, () => false)); // prettier-ignore
  return url;
}
