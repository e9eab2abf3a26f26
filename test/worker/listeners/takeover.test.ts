/** When a worker may take over from another process: ports that can't be opened are tried again. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../shared/runtime/log.ts";
import { takeOver } from "../../../worker/listeners/takeover.ts";
import { until } from "../../support/until.ts";

function stage(failed: number[], old: number[]) {
  const { promise: alone, resolve } = Promise.withResolvers<void>();
  const set = { failed, old, isNew: true, tries: 0, done: false };
  const sibling = {
    alone,
    isNew: () => set.isNew,
    hasSibling: () => set.isNew,
    serves: (port: number) => set.isNew && set.old.includes(port),
  };
  const retry = async () => void set.tries++;
  void takeOver({ sibling, frontends: { failed: () => set.failed }, retry, log: silentLog() }).then(
    () => (set.done = true),
  );
  const ends = () => {
    set.isNew = false;
    resolve();
  };
  return { set, ends };
}

test("not before all ports are open that the old process serves", async () => {
  const { set } = stage([7, 8], [7, 9]);
  await until(() => set.tries >= 2);
  expect(set.done).toBe(false);
  set.failed = [8];
  await until(() => set.done);
});

test("at once when nothing is missing, or only what somebody else has", async () => {
  const { set } = stage([8], [7]);
  await Bun.sleep(0);
  expect([set.done, set.tries]).toEqual([true, 0]);
});

test("what is missing when the old process ends is tried again then", async () => {
  const { set, ends } = stage([8], [7]);
  ends();
  await until(() => set.tries >= 2);
  set.failed = [];
  const { tries } = set;
  await Bun.sleep(250);
  expect(set.tries).toBeLessThanOrEqual(tries + 1);
});

test("and without another process there is nothing to wait for", async () => {
  let tries = 0;
  const retry = async () => void tries++;
  await takeOver({ sibling: null, frontends: { failed: () => [7] }, retry, log: silentLog() });
  expect(tries).toBe(0);
});
