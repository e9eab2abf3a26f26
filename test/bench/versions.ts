/** Which programs the traffic was measured with and against. */
import { CADDY_VERSION } from "./caddy.ts";
import { CORES } from "./cores.ts";
import { CHP_VERSION } from "./proxies.ts";

/** One line. Programs that are missing are left out: the benchmark that needs them says so. */
export function programVersions(): string {
  const found = [
    version("haproxy", ["haproxy", "-v"], /version (\S+)/),
    version("nginx", ["nginx", "-v"], /nginx\/(\S+)/),
    version("wrk", ["wrk", "-v"], /^wrk (\S+)/m),
    version("node", ["node", "--version"], /v(\S+)/),
  ].filter((text) => text !== null);
  const cores = `the proxy on core ${CORES.proxy}, load and upstream on ${CORES.rest}`;
  return [...found, `configurable-http-proxy ${CHP_VERSION}`, `Caddy ${CADDY_VERSION}`, cores].join(", ");
}

// --- internal ---

function version(name: string, command: string[], pattern: RegExp): string | null {
  if (Bun.which(name) === null) return null;
  const { stdout, stderr } = Bun.spawnSync(command);
  return `${name} ${pattern.exec(`${stdout.toString()}${stderr.toString()}`)?.[1] ?? "of unknown version"}`;
}
