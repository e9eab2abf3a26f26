/**
 * Two worker processes of one authority that say different things of where they are: the living one's word stands, both logs name
 * the conflict, and the other one comes in by itself when the first has ended, at once or when its lease has run out.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { atEnd } from "../support/at-end.ts";
import { freeRange } from "../support/ports.ts";
import { spawnService, type Service } from "../support/spawned.ts";
import { reload, Site, told, type Configured } from "../support/supervised.ts";
import { until } from "../support/until.ts";

const REFUSED = /^another living worker has this authority, and says otherwise of where it is/;
const WARNED = /^registration refused: a living node of this authority says otherwise/;
const PORTS = 24;

let site: Site;
beforeAll(async () => void (site = await Site.start()));
afterAll(() => site.stop());
// A worker that was killed counts as alive for some seconds: new circuits would go to it.
beforeEach(async () => {
  const areGone = async () => (await records()).every(({ status }) => status !== "ALIVE");
  await until(areGone, 40_000, "the workers of the other tests to be gone");
}, 60_000);

function run({ file }: Configured): Service {
  const service = spawnService("worker/main.ts", ["--config", file]);
  atEnd(() => service.stop("SIGKILL"));
  return service;
}

/** The worker's line about the conflict. */
const refusal = (service: Service) =>
  until(() => service.lines.find(({ msg }) => REFUSED.test(String(msg))), 30_000, "the worker says that it is refused");

/** The same file with another range. */
async function otherRange({ file }: Configured): Promise<[low: number, high: number]> {
  const low = await freeRange(PORTS);
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/bind_port_range = .*/, `bind_port_range = [ ${low}, ${low + PORTS - 1} ]`));
  return [low, low + PORTS - 1];
}

/** Opens an app and asks for its page. */
async function opened(): Promise<{ status: number; port: number }> {
  const { origin, cookie } = await site.manager.enter(site.kernel());
  return { status: (await fetch(origin, { headers: { cookie } })).status, port: Number(new URL(origin).port) };
}

async function records(): Promise<Record<string, unknown>[]> {
  const { workers } = (await site.manager.api("GET", "/api/worker")).body as { workers: Record<string, unknown>[] };
  return workers;
}

async function record(authority: string): Promise<Record<string, unknown>> {
  return (await records()).find((worker) => worker["authority"] === authority) ?? {};
}

test("a second worker with another address and range is refused, and serves when the first has stopped", async () => {
  const first = run(await site.configure("twice"));
  await first.said("circuits are known");
  const before = await record("twice");
  // In the first one's file, which that has read.
  const other = await site.configure("twice");
  const second = run(other);
  expect(await refusal(second)).toMatchObject({
    level: "error",
    reason: expect.stringContaining("port_range: ") as string,
  });
  // Other tests of this file have such lines too.
  const isWarning = (line: Record<string, unknown>) => line["worker"] === "twice" && WARNED.test(String(line["msg"]));
  const warned = await until(() => site.coordinator.lines.find(isWarning), 30_000, "the coordinator warns");
  expect(warned).toMatchObject({ level: "warn", worker: "twice", refused: { from: "127.0.0.1" }, refused_api: `http://127.0.0.1:${other.apiPort}` }); // prettier-ignore
  expect(await health(other)).toMatchObject({ status: "degraded", checks: { coordinator: "refuses" } });
  expect((await fetch(`http://127.0.0.1:${other.apiPort}/health/readyz`)).status).toBe(503);
  for (const field of ["id", "api_port", "port_range"]) expect((await record("twice"))[field]).toEqual(before[field]);
  for (let round = 0; round < 3; round++) expect((await opened()).status).toBe(200);
  expect(second.lines.filter(({ msg }) => REFUSED.test(String(msg)))).toHaveLength(1);

  expect(await first.stop()).toBe(0);
  await second.said("circuits are known");
  expect(await record("twice")).toMatchObject({ id: before["id"], api_port: other.apiPort, nodes: 1, status: "ALIVE" });
  expect((await opened()).status).toBe(200);
  expect(await health(other)).toMatchObject({ status: "ok", checks: { coordinator: "reachable" } });
  expect(await second.stop()).toBe(0);
});

test("a worker that crashed and starts with another range is let in when its lease has run out", async () => {
  const worker = await site.configure("crashed");
  const first = run(worker);
  await first.said("circuits are known");
  await first.stop("SIGKILL");
  const [low, high] = await otherRange(worker);
  const second = run(worker);
  await second.said("circuits are known");
  expect(await record("crashed")).toMatchObject({ port_range: [low, high], nodes: 1 });
  const { status, port } = await opened();
  expect([status, port >= low && port <= high]).toEqual([200, true]);
  expect(await second.stop()).toBe(0);
});

test("a worker that crashed and starts as it was is let in at once", async () => {
  const worker = await site.configure("as-it-was");
  const first = run(worker);
  await first.said("circuits are known");
  await first.stop("SIGKILL");
  const second = run(worker);
  await second.said("circuits are known");
  expect(second.lines.filter(({ msg }) => REFUSED.test(String(msg)))).toEqual([]);
  expect(await second.stop()).toBe(0);
});

test("a reload with another range is a hand-over, of which nobody complains", async () => {
  const worker = await site.supervise("handed-over", { heartbeat_period: 0.05 });
  atEnd(() => worker.service.stop());
  const [low, high] = await otherRange(worker);
  await reload(worker);
  expect(await record("handed-over")).toMatchObject({ port_range: [low, high], nodes: 1 });
  const { status, port } = await opened();
  expect([status, port >= low && port <= high]).toEqual([200, true]);
  expect(worker.service.lines.filter(({ level }) => level === "error" || level === "fatal")).toEqual([]);
  expect(told(worker, "something else was on record for this authority; registered again")).toEqual([]);
  expect(await worker.service.stop()).toBe(0);
});

test("a reload with another range that fails leaves the old worker on record again", async () => {
  const worker = await site.supervise("not-handed-over", {}, ["--ready-within", "15"]);
  atEnd(() => worker.service.stop());
  const before = await record("not-handed-over");
  const good = readFileSync(worker.file, "utf8");
  await otherRange(worker);
  worker.service.process.kill("SIGHUP");
  // Killed as soon as it is on record.
  await until(async () => JSON.stringify((await record("not-handed-over"))["port_range"]) !== JSON.stringify(before["port_range"])); // prettier-ignore
  process.kill(Number(told(worker, "worker started").at(-1)?.["pid"]), "SIGKILL");
  await until(async () => JSON.stringify((await record("not-handed-over"))["port_range"]) === JSON.stringify(before["port_range"]), 30_000); // prettier-ignore
  writeFileSync(worker.file, good);
  expect((await opened()).status).toBe(200);
  expect(await worker.service.stop()).toBe(0);
});

// --- internal ---

async function health({ apiPort }: Configured): Promise<Record<string, unknown>> {
  return (await (await fetch(`http://127.0.0.1:${apiPort}/health`)).json()) as Record<string, unknown>;
}
