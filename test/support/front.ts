/** Real proxies in front of a worker, as operators set them up: Debian's nginx and HAProxy. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listens, startProgram } from "./apps/program.ts";

export interface Front {
  stop(): Promise<void>;
}

export interface Way {
  /** Where browsers come in, and where the worker listens. */
  port: number;
  to: number;
  /** TLS ends here. */
  tls?: { cert: string; key: string } | undefined;
}

/** nginx with these lines in its `location /`. */
export async function startNginx({ port, to, tls }: Way, lines: readonly string[]): Promise<Front> {
  const secure = tls === undefined ? "" : `ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key};`;
  return start("nginx.conf", port, (directory) => [
    `daemon off; master_process off; pid ${directory}/pid; error_log stderr; worker_rlimit_nofile 512;
     events { worker_connections 128; }
     http {
       access_log off;
       client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy; fastcgi_temp_path ${directory}/f;
       uwsgi_temp_path ${directory}/u; scgi_temp_path ${directory}/s;
       map $http_upgrade $connection_upgrade { default upgrade; "" close; }
       server {
         listen 127.0.0.1:${port}${tls === undefined ? "" : " ssl"}; ${secure}
         location / {
           proxy_pass http://127.0.0.1:${to}; proxy_http_version 1.1;
           proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
           ${lines.map((line) => `proxy_set_header ${line};`).join(" ")}
         }
       }
     }`,
    ["nginx", "-e", "stderr", "-c", join(directory, "nginx.conf"), "-p", directory],
  ]);
}

interface HaproxyWay extends Way {
  mode?: "http" | "tcp";
  /** More of the line that names the worker. */
  server?: string;
}

/** HAProxy with these lines in its frontend. `tls.cert` holds chain and key. */
export async function startHaproxy(way: HaproxyWay, lines: readonly string[]): Promise<Front> {
  const { port, to, tls, mode = "http", server = "" } = way;
  return start("haproxy.cfg", port, (directory) => [
    `global
  maxconn 128
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:${port}${tls === undefined ? "" : ` ssl crt ${tls.cert}`}
  ${lines.join("\n  ")}
  default_backend worker
backend worker
  server worker 127.0.0.1:${to} ${server}
`,
    ["haproxy", "-db", "-f", join(directory, "haproxy.cfg")],
  ]);
}

// --- internal ---

async function start(
  name: string,
  port: number,
  plan: (directory: string) => [text: string, command: string[]],
): Promise<Front> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-front-"));
  const [text, command] = plan(directory);
  writeFileSync(join(directory, name), text);
  const program = startProgram(command);
  await listens(program, port);
  return {
    async stop() {
      await program.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
