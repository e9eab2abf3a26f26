/** What the scale benchmark does at a site: each step measured by itself, and what it costs the coordinator. */
import { createAcknowledgements } from "../../coordinator/delivery/acknowledgements.ts";
import { createCollector } from "../../coordinator/circuits/collector.ts";
import { loadCoordinatorConfig } from "../../coordinator/config.ts";
import { openDb } from "../../coordinator/store/open.ts";
import type { Deps } from "../../coordinator/deps.ts";
import { place } from "../../coordinator/placement/placement.ts";
import { createCommit } from "../../coordinator/delivery/commit.ts";
import { createNodeRevisions } from "../../coordinator/delivery/node-revisions.ts";
import { createPublisher } from "../../coordinator/delivery/publisher.ts";
import { candidates } from "../../coordinator/store/workers.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { API_SECRET, newKernel } from "../support/manager.ts";
import { coordinatorToml } from "../support/toml.ts";
import { costOf } from "./cost.ts";
import { measure, type Load } from "./measure.ts";
import type { Site } from "./scale-site.ts";
import type { Sheet } from "./sheet.ts";
import { read } from "../support/store.ts";

/** Creates circuits, and deletes them again outside of the measured time. */
export async function stepCreation(sheet: Sheet, site: Site, load: Load): Promise<void> {
  const { manager } = site;
  const { figure, results } = await measure("creation", load, async () => {
    const { token, sessionId } = await manager.conf(newKernel());
    const { status, body } = await manager.auth(token, sessionId, { no_reuse: true });
    if (status !== 200 || body["reuse"] !== false)
      throw new Error(`POST /v2/proxy/auth answered ${status}: ${JSON.stringify(body)}`);
    return String(body["circuit_id"]);
  });
  const what = `creation, ${load.concurrency} at a time`;
  sheet.add(`${what}, p50`, "ms", site.name, figure.p50);
  sheet.add(`${what}, p99`, "ms", site.name, figure.p99);
  sheet.add(what, "per s", site.name, figure.perSecond);
  for (let at = 0; at < results.length; at += 500)
    await asked(site, "DELETE", "/api/circuit/_/bulk", { circuit_ids: results.slice(at, at + 500) });
}

/** Calls that nodes make, while the last changes are those that the database was filled with; `share` of what figures need. */
export async function stepCalls(sheet: Sheet, site: Site, share: number): Promise<void> {
  const [worker] = site.workers;
  if (worker === undefined) throw new Error("no worker");
  const { id, nodeId, epoch, revision } = worker;
  const circuits = `/api/worker/${id}/circuits`;
  const since = (behind: number) => `${circuits}?since=${revision - behind}&epoch=${epoch}`;
  const call = (what: string, count: number, method: string, path: string, body?: object) =>
    stepCall(sheet, site, { what, count: Math.ceil(count * share), method, path, body });
  if (site.circuits.length > 0) {
    await call("snapshot of a worker", 20, "GET", circuits);
    await call("changes: the last 10", 300, "GET", since(10));
  }
  await call("look: nothing has changed", 1000, "GET", since(0));
  await call("heartbeat with all slots", 100, "PATCH", `/api/worker/${id}`, { node_id: nodeId });
  const brief = { node_id: nodeId, revision, slots: false };
  await call("heartbeat of our nodes", 300, "PATCH", `/api/worker/${id}`, brief);
}

/** What can be timed only from inside: on the coordinator's database and Redis, by another connection. */
export async function stepInside(sheet: Sheet, site: Site): Promise<void> {
  const database = openDb(site.path, () => crypto.randomUUID());
  const config = loadCoordinatorConfig("bench", coordinatorToml(site.path, {}), {}).values;
  const { bus, live } = site.messengers;
  const deps: Deps = { config, database, bus, live, log: silentLog(), now: Date.now, newId: () => crypto.randomUUID() };
  const [publisher, acknowledgements, nodeRevisions] = [createPublisher(deps), createAcknowledgements(deps), createNodeRevisions(deps)]; // prettier-ignore
  const collector = createCollector(deps, {
    commit: createCommit(deps, { publisher, acknowledgements, nodeRevisions }),
  });
  try {
    const found = read(database, (q) => candidates(q, Date.now()));
    const wish = { protocol: "http", mode: "interactive", facts: {}, port: null } as const;
    sheet.add(
      "workers read for a placement",
      "ms",
      site.name,
      timed(100, () => read(database, (q) => candidates(q, Date.now()))),
    );
    sheet.add("placement among them", "µs", site.name, 1000 * timed(10_000, () => place(found, wish)));
    for (let pass = 0; pass < 3; pass++) {
      const { ms, stall } = await stalled(() => collector.pass());
      sheet.add("collector pass", "ms", site.name, ms);
      sheet.add("collector pass, longest stall", "ms", site.name, stall);
    }
  } finally {
    database.close();
  }
}

/** The longest that a call which does nothing had to wait, with the collector's passes and all nodes' calls beside it. */
export async function stepIdle(sheet: Sheet, site: Site, seconds: number): Promise<void> {
  const before = costOf(site.pid).cpu;
  const load: Load = { concurrency: 1, count: Infinity, maxMs: seconds * 1000 };
  let longest = 0;
  await measure("idle", load, async () => {
    const began = performance.now();
    await asked(site, "GET", "/status");
    longest = Math.max(longest, performance.now() - began);
    await Bun.sleep(10);
  });
  sheet.add("GET /status meanwhile, longest", "ms", site.name, longest);
  sheet.add("processor in use meanwhile", "%", site.name, (100 * (costOf(site.pid).cpu - before)) / seconds);
  sheet.add("memory of the coordinator then", "MiB", site.name, costOf(site.pid).rss / 2 ** 20);
}

// --- internal ---

interface Call {
  what: string;
  count: number;
  method: string;
  path: string;
  body: object | undefined;
}

async function stepCall(sheet: Sheet, site: Site, { what, count, method, path, body }: Call): Promise<void> {
  let bytes = 0;
  const work = async () => {
    bytes = await asked(site, method, path, body);
  };
  await measure("warm-up", { concurrency: 1, count: Math.ceil(count / 10), maxMs: 10_000 }, work);
  const before = costOf(site.pid).cpu;
  const { figure } = await measure(what, { concurrency: 1, count, maxMs: 20_000 }, work);
  sheet.add(what, "ms", site.name, figure.p50);
  sheet.add(`${what}, CPU`, "ms", site.name, (1000 * (costOf(site.pid).cpu - before)) / figure.count);
  sheet.add(`${what}, answer`, "KiB", site.name, bytes / 1024);
}

/** Bytes of the answer. */
async function asked(site: Site, method: string, path: string, body?: object): Promise<number> {
  const answer = await fetch(site.manager.baseUrl + path, {
    method,
    headers: { "Content-Type": "application/json", "X-BackendAI-Token": API_SECRET },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const { byteLength } = await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`${method} ${path} answered ${answer.status}`);
  return byteLength;
}

function timed(count: number, work: () => unknown): number {
  work();
  const began = performance.now();
  for (let turn = 0; turn < count; turn++) work();
  return (performance.now() - began) / count;
}

/** How long work took, and the longest that nothing else had its turn. */
async function stalled(work: () => Promise<void>): Promise<{ ms: number; stall: number }> {
  let [last, stall] = [performance.now(), 0];
  const tick = () => {
    stall = Math.max(stall, performance.now() - last);
    last = performance.now();
  };
  const timer = setInterval(tick, 1);
  const began = performance.now();
  await work();
  tick();
  clearInterval(timer);
  return { ms: performance.now() - began, stall };
}
