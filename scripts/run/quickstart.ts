/**
 * The main job in one process: coordinator, worker and a demo app on a temporary database. Plays the Manager, prints
 * each step with the `curl` that does the same, and at last the link to open. Ctrl-C leaves nothing behind.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { raiseHttpLimits } from "../../shared/runtime/limits.ts";
import { createLog, type Log } from "../../shared/runtime/log.ts";
import {
  ignoreProxySettings,
  runMain,
  shutdownOnSignal,
  surviveStrayErrors,
  type Shutdown,
} from "../../shared/runtime/process.ts";
import { startDemoApp } from "./demo-app.ts";
import { startEmbedded, type Embedded } from "./embedded.ts";
import { HELP, readOptions, type Options } from "./quickstart/options.ts";
import { choosePorts } from "./quickstart/ports.ts";
import { quickstartToml } from "./quickstart/toml.ts";

const HOST = "127.0.0.1";
const SESSION = { id: crypto.randomUUID(), user_uuid: crypto.randomUUID(), project_id: crypto.randomUUID(), access_key: "AKQUICKSTART", domain_name: "default" }; // prettier-ignore
const REQUEST_ID = "req-quickstart-1";

await runMain(async () => {
  raiseHttpLimits();
  const options = readOptions(process.argv.slice(2));
  if (options === "help") return say(HELP);
  const log = createLog("quickstart", "warn");
  surviveStrayErrors(log);
  ignoreProxySettings();
  if (options.redis !== null) await mustAnswer("--redis", options.redis);
  if (options.app !== null) await mustAnswer("--app", options.app);
  const shutdown = shutdownOnSignal(log);
  shutdown.add(() => say("\nStopped; nothing is left behind."));
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-quickstart-"));
  shutdown.add(() => rmSync(directory, { recursive: true, force: true }));
  try {
    const embedded = await start(directory, options, log, shutdown);
    await show(embedded, options.app ?? startDemo(shutdown), options);
  } catch (error) {
    await shutdown.run();
    throw error;
  }
});

// --- internal ---

interface Target {
  host: string;
  port: number;
}

/** Throws unless something listens there: everything after would fail with a less clear message. */
async function mustAnswer(option: string, { host, port }: Target): Promise<void> {
  try {
    const socket = await Bun.connect({ hostname: host, port, socket: { data: () => undefined } });
    socket.end();
  } catch (error) {
    throw new Error(`${option}: nothing listens on ${host}:${port}`, { cause: error });
  }
}

function startDemo(shutdown: Shutdown): Target {
  const demo = startDemoApp({ hostname: HOST, port: 0 });
  shutdown.add(() => demo.stop());
  return { host: HOST, port: demo.port };
}

function start(directory: string, { redis }: Options, log: Log, shutdown: Shutdown): Promise<Embedded> {
  const ports = choosePorts(HOST);
  const toml = quickstartToml({ host: HOST, ports, database: join(directory, "app-proxy.sqlite3"), redis });
  return startEmbedded({
    coordinator: { source: "quickstart", toml: toml.coordinator },
    worker: { source: "quickstart", toml: toml.worker },
    env: {},
    redis: redis !== null,
    log,
    shutdown,
  });
}

async function show({ coordinator, worker, config }: Embedded, app: Target, { redis }: Options): Promise<void> {
  const base = coordinator.baseUrl;
  say(`Running in this process (Ctrl-C ends it):
  coordinator  ${base}        API documentation: ${base}/swagger
  worker       http://${HOST}:${worker.apiPort}        circuits on ports ${config.worker.proxy_worker.port_proxy.bind_port_range?.join("-")}
  events       ${redis === null ? "in this process" : `Redis ${redis.host}:${redis.port}`}
  app          http://${app.host}:${app.port}        stands in for a kernel; people never reach it directly
  API secret   ${config.coordinator.secrets.api_secret}   (header X-BackendAI-Token)
`);
  const token = await announceKernel(base, app);
  const link = `${base}/v2/proxy/auth?token=${token}&session_id=${SESSION.id}&app=demo&protocol=http`;
  await openCircuit(link, config.coordinator.secrets.api_secret);
  say(`Open this in a browser (it works again and again while this runs):

  ${link}
`);
}

async function announceKernel(base: string, app: Target): Promise<string> {
  const body = { kernel_host: app.host, kernel_port: app.port, session: SESSION };
  say(`1. The Manager announces the kernel and gets a token. The circuit will carry the Manager's request id.

  curl -s ${base}/v2/conf -H 'Content-Type: application/json' -H 'X-Backend-Request-ID: ${REQUEST_ID}' \\
    -d '${JSON.stringify(body)}'
`);
  const answer = await call(`${base}/v2/conf`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Backend-Request-ID": REQUEST_ID },
    body: JSON.stringify(body),
  });
  return String(answer["token"]);
}

async function openCircuit(link: string, secret: string): Promise<void> {
  say(`2. The person's client asks for the app. The coordinator makes a circuit, a worker opens it.

  curl -s -H 'Accept: application/json' '${link}'
`);
  const answer = await call(link, { headers: { Accept: "application/json" } });
  const base = new URL(link).origin;
  say(`   The circuit, and where its origin is recorded:

  curl -s -H 'X-BackendAI-Token: ${secret}' '${base}/api/circuits?origin_request_id=${REQUEST_ID}'

3. The browser follows redirect_url to the worker, gets its permit cookie, and is in the app. The link lives for a minute; who
   used it first may use it again for ten. curl has to keep cookies:

  curl -sL -c jar -b jar '${String(answer["redirect_url"])}'
`);
}

/** Calls and prints the answer; anything but success ends the quickstart. */
async function call(url: string, init: RequestInit): Promise<Record<string, unknown>> {
  const answer = await fetch(url, init);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${text}`);
  say(`  → ${answer.status} ${text.length > 200 ? `${text.slice(0, 200)}…` : text}\n`);
  return JSON.parse(text) as Record<string, unknown>;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
