/**
 * What the worker is held against on the same upstream: no proxy at all, HAProxy, nginx, configurable-http-proxy, and Caddy.
 * Each is set up as its own manual advises for speed: one thread, connections to the app kept and shared, no logs.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";
import { caddyConfig, caddyProgram, installCaddy } from "./caddy.ts";
import { CORES, maxPairs, startOn, type Child } from "./cores.ts";
import type { Size } from "./size.ts";

export interface Ports {
  http: number;
  tcp: number;
}

/** One column of a table. */
export interface Peer {
  name: string;
  /** Where it takes HTTP, or TCP when it was started for that; on loopback. */
  port: number;
  /** Null when nothing stands between. */
  pid: number | null;
  stop(): Promise<void>;
}

/** Of the npm registry; installed once into the system's directory for temporary files. */
export const CHP_VERSION = "5.3.0";

/**
 * Whether there is something to hold the worker against: for figures it has to be, a smoke goes on without it and says so.
 * configurable-http-proxy and Caddy count as installed where an earlier run has fetched them. Caddy is built with Go, which
 * nothing else here needs: without Go its column stays empty.
 */
export function isInstalled(name: "haproxy" | "nginx" | "chp" | "caddy", size: Size): boolean {
  const found = isThere(name);
  const canBe = size === "full" && (name !== "caddy" || Bun.which("go") !== null);
  if (!found && !canBe)
    console.log(
      `without ${name}: ${size === "full" ? "Go, which builds it, is not installed" : "it is not installed"}`,
    );
  return found || canBe;
}

/** The upstream itself. */
export function direct(port: number): Peer {
  return { name: "direct", port, pid: null, stop: () => Promise.resolve() };
}

/** HAProxy before an HTTP app, or as a plain TCP proxy. With several `threads` it has all cores. */
export async function startHaproxy(mode: "http" | "tcp", upstream: number, threads = 1): Promise<Peer> {
  const port = await freePort();
  const config = haproxyConfig(mode, port, upstream, threads);
  const [name, cores] = threads === 1 ? ["haproxy", CORES.proxy] : [`haproxy ×${threads}`, CORES.all];
  return startFromFile({ name, port, config, cores }, (file) => ["haproxy", "-db", "-f", file]);
}

export async function startNginx(upstream: number): Promise<Peer> {
  const port = await freePort();
  const config = (directory: string) => nginxConfig(directory, port, upstream);
  const command = (file: string, directory: string) => ["nginx", "-p", directory, "-c", file];
  return startFromFile({ name: "nginx", port, config, cores: CORES.proxy }, command);
}

export async function startChp(upstream: number): Promise<Peer> {
  const program = await installChp();
  const [port, api] = [await freePort(), await freePort()];
  const options = `--ip 127.0.0.1 --port ${port} --api-ip 127.0.0.1 --api-port ${api} --log-level error`;
  const target = `http://127.0.0.1:${upstream}`;
  const child = startOn(CORES.proxy, ["node", program, ...options.split(" "), "--default-target", target]);
  return peer("chp", port, child, () => child.stop());
}

export async function startCaddy(upstream: number): Promise<Peer> {
  const program = await installCaddy();
  const port = await freePort();
  // It keeps what it has read last, and a folder for certificates.
  const env = (directory: string) => ({ GOMAXPROCS: "1", XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory });
  const command = (file: string) => [program, "run", "--config", file, "--adapter", "caddyfile"];
  return startFromFile({ name: "caddy", port, config: caddyConfig(port, upstream), cores: CORES.proxy }, command, env);
}

// --- internal ---

function isThere(name: "haproxy" | "nginx" | "chp" | "caddy"): boolean {
  if (name === "caddy") return existsSync(caddyProgram());
  return name === "chp" ? Bun.which("node") !== null && existsSync(chpPaths().program) : Bun.which(name) !== null;
}

type Config = string | ((directory: string) => string);

async function startFromFile(
  { name, port, config, cores }: { name: string; port: number; config: Config; cores: string },
  command: (file: string, directory: string) => string[],
  env: (directory: string) => Record<string, string> = () => ({}),
): Promise<Peer> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-bench-proxy-"));
  const file = join(directory, "proxy.conf");
  writeFileSync(file, typeof config === "string" ? config : config(directory));
  const child = startOn(cores, command(file, directory), env(directory));
  return peer(name, port, child, async () => {
    await child.stop();
    rmSync(directory, { recursive: true, force: true });
  });
}

async function peer(name: string, port: number, child: Child, stop: () => Promise<void>): Promise<Peer> {
  try {
    await until(() => child.alive() && listens(port), 20_000, `${name} listens on ${port}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { name, port, pid: child.pid, stop };
}

async function listens(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {}, error() {} } });
    socket.end();
    return true;
  } catch {
    return false; // not yet
  }
}

function haproxyConfig(mode: "http" | "tcp", port: number, upstream: number, threads: number): string {
  const server = `server app 127.0.0.1:${upstream}`;
  // Event streams need `http-no-delay`, which costs other answers some speed.
  const http = `
  option forwardfor
  http-reuse always
frontend bench
  bind 127.0.0.1:${port}
  use_backend events if { path_beg /events }
  default_backend app
backend app
  ${server} pool-purge-delay 60s
backend events
  option http-no-delay
  ${server} pool-purge-delay 60s`;
  const tcp = `
listen bench
  bind 127.0.0.1:${port}
  ${server}`;
  return `
global
  nbthread ${threads}
  maxconn ${maxPairs()}
defaults
  mode ${mode}
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  ${mode === "http" ? http : tcp}
`;
}

/** One process and no master, so that one pid is all of it. With few connections left it would close new ones: 65,536. */
function nginxConfig(directory: string, port: number, upstream: number): string {
  return `
daemon off;
master_process off;
pid ${directory}/pid;
error_log stderr error;
events { worker_connections 65536; }
http {
  access_log off;
  client_max_body_size 0;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  map $http_upgrade $connection_value { default upgrade; "" ""; }
  upstream app { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_value;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffers 16 64k;
      proxy_buffer_size 64k;
      proxy_busy_buffers_size 128k;
      proxy_max_temp_file_size 0;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }
    location /events {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
}

function chpPaths(): { directory: string; program: string } {
  const directory = join(tmpdir(), `app-proxy-bench-chp-${CHP_VERSION}`);
  return { directory, program: join(directory, "node_modules/configurable-http-proxy/bin/configurable-http-proxy") };
}

/** Gives the program's file. Takes the registry only the first time. */
async function installChp(): Promise<string> {
  const { directory, program } = chpPaths();
  if (existsSync(program)) return program;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "package.json"), "{}\n");
  const adding = Bun.spawn([process.execPath, "add", "--exact", `configurable-http-proxy@${CHP_VERSION}`], {
    cwd: directory,
    stdout: "ignore",
    stderr: "pipe",
  });
  const [problem, code] = await Promise.all([new Response(adding.stderr).text(), adding.exited]);
  if (code !== 0) throw new Error(`Cannot install configurable-http-proxy ${CHP_VERSION}: ${problem}`);
  return program;
}
