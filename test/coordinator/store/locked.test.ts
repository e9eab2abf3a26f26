/** Another process has the database's write lock: what waits for it is told so in time, and all else goes on. Real processes. */
import { afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import type { FakeWorker } from "../../support/fake-worker.ts";
import { holdLock, type Lock } from "../../support/lock.ts";
import { newKernel } from "../../support/manager.ts";
import { refusal, routeTo, service, startStage, type Stage } from "../../support/model-service.ts";
import { until } from "../../support/until.ts";

const ENDPOINT = "0e000000-0000-4000-8000-00000000000a";
const LOCKED = "The database is locked by another process; try again";
/** Longer than a test takes; and short enough to be waited for. Milliseconds. */
const [LONG, SHORT] = [60_000, 200];

let stage: Stage;
let worker: FakeWorker;
let lock: Lock | null = null;

async function begin(patience: number, coordinator: Record<string, unknown> = {}): Promise<void> {
  stage = await startStage({ patience, coordinator });
  worker = await stage.worker({ authority: "w" });
}

afterEach(async () => {
  await lock?.release();
  lock = null;
  await stage.stop();
});

/** A permission to open an app. */
async function permission(): Promise<{ token: string; sessionId: string }> {
  const { token, sessionId } = await stage.manager.conf(newKernel());
  return { token, sessionId };
}

const circuits = async () => (await stage.client.listCircuits({ query: { limit: 1000 } })).circuits;

/** How long the slowest of some calls took that need no lock. Milliseconds. */
async function slowest(): Promise<number> {
  let longest = 0;
  for (let at = 0; at < 20; at++) {
    const began = performance.now();
    expect((await stage.manager.call("GET", "/health/livez")).status).toBe(200);
    expect((await stage.manager.call("GET", "/health/readyz")).status).toBe(200);
    longest = Math.max(longest, performance.now() - began);
  }
  return longest;
}

describe("while the lock is held", () => {
  test("calls that write nothing are answered as promptly as ever, and a creation waits and then succeeds", async () => {
    await begin(LONG);
    const { token, sessionId } = await permission();
    const usual = await slowest();
    lock = await holdLock(stage.database);
    let isOver = false;
    const opening = stage.manager.auth(token, sessionId).finally(() => (isOver = true));
    const heartbeats = [worker.heartbeat(), worker.heartbeat()];
    // One look at the lock may take 20 ms; in the thread it would be waited for to the end.
    expect(await slowest()).toBeLessThan(10 * usual + 1000);
    expect([isOver, await circuits()]).toEqual([false, []]);
    await lock.release();
    expect((await opening).status).toBe(200);
    expect(await Promise.all(heartbeats)).toEqual([200, 200]);
    expect((await circuits()).length).toBe(1);
  });

  test("a creation that waits for too long is refused, and nothing of it is left behind", async () => {
    await begin(SHORT);
    const { token, sessionId } = await permission();
    lock = await holdLock(stage.database);
    const refused = await stage.manager.auth(token, sessionId);
    expect([refused.status, refused.body["msg"]]).toEqual([503, LOCKED]);
    expect(await refusal(stage.client.syncEndpoint({ endpoint_id: ENDPOINT, body: service() }))).toEqual([503, "service-unavailable", LOCKED]); // prettier-ignore
    expect((await stage.manager.conf({ ...newKernel() }).catch(() => null))?.token).toBeUndefined();
    await lock.release();
    expect([await circuits(), stage.told]).toEqual([[], []]);
    expect((await stage.manager.auth(token, sessionId)).status).toBe(200);
  });

  test("a circuit that nobody acknowledges is taken back as soon as that can be written", async () => {
    // Another process takes the lock meanwhile.
    await begin(SHORT, { circuit_ack_timeout: 10 });
    worker.answers = false;
    const { token, sessionId } = await permission();
    const opening = stage.manager.auth(token, sessionId);
    await until(async () => (await circuits()).length === 1);
    lock = await holdLock(stage.database);
    expect((await opening).status).toBe(503);
    expect((await circuits()).length).toBe(1);
    await lock.release();
    await until(async () => (await circuits()).length === 0);
    await until(() => stage.told.some(({ name }) => name === "appproxy_circuit_removed_event"));
  });

  test("what is acknowledged and published counts, and is noted when that can be written", async () => {
    await begin(SHORT);
    const sqlite = new Database(stage.database, { readonly: true });
    stage.defer(() => sqlite.close());
    const left = () => sqlite.query("SELECT (SELECT count(*) FROM circuits WHERE acknowledged_at IS NULL) AS circuits, (SELECT count(*) FROM changes WHERE published_at IS NULL) AS changes").get(); // prettier-ignore
    worker.answers = false;
    const { token, sessionId } = await permission();
    const opening = stage.manager.auth(token, sessionId);
    await until(async () => (await circuits()).length === 1);
    await until(() => stage.told.length > 0);
    await until(() => (left() as { changes: number }).changes === 0);
    lock = await holdLock(stage.database);
    // It is asked again after a moment.
    worker.answers = true;
    expect((await opening).status).toBe(200);
    await until(() => stage.lines.some(({ msg }) => msg === "cannot note acknowledgements; trying again"));
    expect(left()).toEqual({ circuits: 1, changes: 0 });
    await lock.release();
    await until(() => Bun.deepEquals(left(), { circuits: 0, changes: 0 }));
  });

  test("periodic work is tried until it works, and no worker is lost for what could not be noted", async () => {
    await begin(SHORT);
    const { token, sessionId } = await permission();
    await stage.client.syncEndpoint({ endpoint_id: ENDPOINT, body: service() });
    await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ENDPOINT, routes: [routeTo(1)] }] } });
    lock = await holdLock(stage.database);
    // The token is over by then, and its worker silent.
    stage.later(700);
    await until(() => stage.lines.some(({ msg }) => msg === "periodic work failed; trying again"));
    expect(await worker.heartbeat()).toBe(503);
    await lock.release();
    const sqlite = new Database(stage.database, { readonly: true });
    stage.defer(() => sqlite.close());
    await until(() => sqlite.query("SELECT id FROM tokens WHERE id = ?").get(token) === null);
    expect(sessionId).toBeString();
    const { workers } = await stage.client.listWorkers({});
    expect(workers.map(({ status }) => status)).toEqual(["ALIVE"]);
    expect(stage.lines.filter(({ msg }) => msg === "worker lost: no heartbeat")).toEqual([]);
  });
});
