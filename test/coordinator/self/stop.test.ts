/** The end of a coordinator: what it still has to write down keeps nobody waiting for an answer that will not come. */
import { expect, test } from "bun:test";
import { atEnd } from "../../support/at-end.ts";
import { startFakeWorker } from "../../support/fake-worker.ts";
import { holdLock } from "../../support/lock.ts";
import { startLoneCoordinator } from "../../support/lone-coordinator.ts";
import { newKernel } from "../../support/manager.ts";
import { until } from "../../support/until.ts";

test("no call is taken while an acknowledgement waits to be noted", async () => {
  const lone = await startLoneCoordinator({ patience: 60_000 });
  let stopping: Promise<unknown> | null = null;
  const stop = () => (stopping ??= lone.stop());
  atEnd(stop);
  const worker = await startFakeWorker(lone.manager, lone.redis.port, { authority: "w", node_id: "n1" });
  atEnd(() => worker.stop());
  worker.answers = false;
  const { token, sessionId } = await lone.manager.conf(newKernel());
  const opening = lone.manager.auth(token, sessionId);
  await until(
    async () => ((await lone.manager.api("GET", "/api/circuits")).body["circuits"] as unknown[]).length === 1,
  );
  const lock = await holdLock(lone.database);
  atEnd(() => lock.release());
  // It is asked again after a moment.
  worker.answers = true;
  expect((await opening).status).toBe(200);
  let hasStopped = false;
  void stop().then(() => (hasStopped = true));
  const livez = () => fetch(`${lone.manager.baseUrl}/health/livez`, { keepalive: false });
  await until(() => livez().then(() => false, () => true)); // prettier-ignore
  expect(hasStopped).toBe(false);
  await lock.release();
  await stop();
});
