/** Caddy for the benchmarks: built with Go, in a pinned version, once; and how it is told to be fast. Started by proxies.ts. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** Of the Go module proxy. */
export const CADDY_VERSION = "2.11.9";

/** Events are flushed at once by itself; `compression off`: it would ask the app for gzip where the client does not. */
export function caddyConfig(port: number, upstream: number): string {
  return `
{
  admin off
  auto_https off
  persist_config off
  log {
    level ERROR
  }
  servers {
    protocols h1
  }
}
http://:${port} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${upstream} {
    transport http {
      keepalive_idle_conns_per_host 256
      compression off
    }
  }
}
`;
}

/** In the person's cache, for all clones of a machine. */
export function caddyProgram(): string {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return join(cache, `app-proxy-bench/caddy-${CADDY_VERSION}/caddy`);
}

/** Gives the program's file. Takes the registry, and minutes, only the first time. */
export async function installCaddy(): Promise<string> {
  const program = caddyProgram();
  if (existsSync(program)) return program;
  console.log(`Building Caddy ${CADDY_VERSION} with Go, which takes some minutes the first time…`);
  const building = Bun.spawn(["go", "install", `github.com/caddyserver/caddy/v2/cmd/caddy@v${CADDY_VERSION}`], {
    env: { ...process.env, GOBIN: dirname(program) },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [problem, code] = await Promise.all([new Response(building.stderr).text(), building.exited]);
  if (code !== 0) throw new Error(`Cannot build Caddy ${CADDY_VERSION}: ${problem.slice(-2000)}`);
  return program;
}
