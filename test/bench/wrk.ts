/** Runs wrk beside the proxy and reads its figures. Fails when one answer was not a 2xx or 3xx or a connection broke. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CORES, runBeside } from "./cores.ts";
import { costOf, workedSeconds } from "./cost.ts";
import type { Peer } from "./proxies.ts";

export interface WrkLoad {
  path: string;
  connections: number;
  seconds: number;
  /** Whom the requests speak as, in turn. */
  keys: readonly { host: string; cookie: string }[];
}

export interface WrkFigures {
  perSecond: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  /** Processor seconds of the proxy for one request, and its share of its core; null without a proxy. */
  cpuEach: number | null;
  busy: number | null;
  /** The kernel's share of the proxy's processor time. */
  system: number | null;
  /** What others worked on the proxy's core meanwhile, as a share of it: disturbed figures show here. */
  others: number | null;
}

export async function wrk(peer: Peer, load: WrkLoad): Promise<WrkFigures> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-bench-wrk-"));
  const script = join(directory, "wrk.lua");
  writeFileSync(script, lua(load));
  const look = () => (peer.pid === null ? null : { ...costOf(peer.pid), core: workedSeconds(CORES.proxy) });
  const before = look();
  const output = await runBeside(command(peer, load, script), (load.seconds + PATIENCE) * 1000);
  const after = look();
  rmSync(directory, { recursive: true });
  const told = JSON.parse(output.slice(output.indexOf("{"))) as Told;
  if (told.bad > 0 || told.requests === 0) throw new Error(`${peer.name} failed under load: ${JSON.stringify(told)}`);
  const spent = (what: "cpu" | "system" | "core") =>
    before === null || after === null ? null : after[what] - before[what];
  const [cpu, system, core] = [spent("cpu"), spent("system"), spent("core")];
  return {
    perSecond: told.requests / told.seconds,
    p50: told.p50,
    p99: told.p99,
    cpuEach: cpu === null ? null : cpu / told.requests,
    busy: cpu === null ? null : cpu / told.seconds,
    system: cpu === null || system === null ? null : system / cpu,
    others: cpu === null || core === null ? null : Math.max(0, core - cpu) / told.seconds,
  };
}

// --- internal ---

/** A busy machine starts it late. Seconds. */
const PATIENCE = 60;

interface Told {
  requests: number;
  seconds: number;
  p50: number;
  p99: number;
  bad: number;
}

function command({ port }: Peer, { path, connections, seconds }: WrkLoad, script: string): string[] {
  const threads = Math.min(CORES.rest.split(",").length, 2);
  const size = ["-t", String(threads), "-c", String(connections), "-d", `${seconds}s`];
  return ["wrk", ...size, "--timeout", "10s", "-s", script, `http://127.0.0.1:${port}${path}`];
}

/** The requests are made before the run: making them would cost the load's core. */
function lua({ path, keys }: WrkLoad): string {
  const requests = keys.map(
    ({ host, cookie }) => `"GET ${path} HTTP/1.1\\r\\nHost: ${host}\\r\\nCookie: ${cookie}\\r\\n\\r\\n"`,
  );
  const headers = keys.map(
    ({ host, cookie }) => `wrk.headers["Host"] = "${host}"; wrk.headers["Cookie"] = "${cookie}"`,
  );
  const many = `
local requests = { ${requests.join(",\n")} }
local turn = 0
request = function()
  turn = turn % #requests + 1
  return requests[turn]
end`;
  return `${keys.length > 1 ? many : headers.join("")}
done = function(summary, latency)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format('{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"bad":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad))
end
`;
}
