/**
 * A kernel's new session is let in only when the old one's way is gone at every node, also at one that missed the event:
 * with a coordinator, Redis and workers that only say how far they are.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { startFakeWorker, type FakeWorker } from "../../support/fake-worker.ts";
import { startLoneCoordinator, type LoneCoordinator } from "../../support/lone-coordinator.ts";
import { until } from "../../support/until.ts";

const KERNEL = { kernel_host: "10.1.2.3", kernel_port: 8888 };
/** Less than the four seconds for which a coordinator waits in vain. */
const NOT_WAITED_MS = 3800;
const [ONE, TWO] = ["aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"];

let lone: LoneCoordinator;
let nodes: FakeWorker[];

beforeEach(async () => {
  lone = await startLoneCoordinator({ coordinator: { circuit_ack_timeout: 20 } });
  nodes = [];
});

afterEach(async () => {
  for (const node of nodes) await node.stop();
  await lone.stop();
});

async function node(node_id: string | undefined): Promise<FakeWorker> {
  const more = node_id === undefined ? {} : { node_id };
  const made = await startFakeWorker(lone.manager, lone.redis.port, { authority: "w", ...more });
  nodes.push(made);
  return made;
}

/** Session ONE has an app at the kernel; then it is TWO's. Gives the milliseconds until TWO's token is there. */
async function recycled(silence: () => void = () => undefined): Promise<number> {
  const { token, sessionId } = await lone.manager.conf({ ...KERNEL, session_id: ONE });
  expect((await lone.manager.auth(token, sessionId)).status).toBe(200);
  await until(() => nodes.every(({ events }) => events.length > 0));
  silence();
  const began = performance.now();
  await lone.manager.conf({ ...KERNEL, session_id: TWO });
  return performance.now() - began;
}

test("when all nodes say that they know, it is there at once", async () => {
  await node("n1");
  await node("n2");
  expect(await recycled()).toBeLessThan(NOT_WAITED_MS);
});

test("one that has missed the event is waited for, until it says so", async () => {
  const [first, second] = [await node("n1"), await node("n2")];
  const work = recycled(() => (second.isDeaf = true));
  await until(() => first.events.some(({ name }) => name === "appproxy_circuit_removed_event"));
  expect(await Promise.race([work, Bun.sleep(300).then(() => "waiting")])).toBe("waiting");
  const { body } = await lone.manager.api("GET", `/api/worker/${second.id}/circuits`);
  const query = new URLSearchParams({ since: String(body["revision"]), epoch: String(body["epoch"]), node_id: "n2" });
  await lone.manager.api("GET", `/api/worker/${second.id}/circuits?${query.toString()}`);
  expect(await work).toBeLessThan(NOT_WAITED_MS);
});

test("one that says nothing is waited for no longer than some seconds", async () => {
  await node("n1");
  const second = await node("n2");
  expect(await recycled(() => (second.isDeaf = true))).toBeWithin(NOT_WAITED_MS, 20_000);
});

test("the original's workers, which can't say it, are not waited for", async () => {
  await node(undefined);
  expect(await recycled()).toBeLessThan(NOT_WAITED_MS);
});
