/** Work that gathers: together, one at a time, again after a failure, and to the end at a stop. */
import { expect, test } from "bun:test";
import { Later } from "../../../shared/runtime/later.ts";
import { until } from "../../support/until.ts";

const NEVER_MS = 3_600_000;

/** Gathers numbers; `work` may be replaced. */
function gather(times: { afterMs?: number; retryMs?: number } = {}) {
  let gathered: number[] = [];
  const done: number[][] = [];
  const state = { works: true, hold: Promise.resolve(), atOnce: 0, most: 0 };
  const later = new Later({
    isDue: () => gathered.length > 0,
    afterMs: 1,
    retryMs: 1,
    ...times,
    async work() {
      state.most = Math.max(state.most, ++state.atOnce);
      const taken = gathered;
      gathered = [];
      await state.hold;
      state.atOnce--;
      if (!state.works) {
        gathered = [...taken, ...gathered];
        return false;
      }
      done.push(taken);
      return true;
    },
  });
  const add = (one: number) => {
    gathered.push(one);
    later.soon();
  };
  return { later, add, done, state };
}

test("what comes in one moment is done together", async () => {
  const { add, done } = gather();
  for (const one of [1, 2, 3]) add(one);
  await until(() => done.length > 0);
  expect(done).toEqual([[1, 2, 3]]);
});

test("what comes while it is done is done next, never at once with it", async () => {
  const { add, done, state } = gather();
  const held = Promise.withResolvers<void>();
  state.hold = held.promise;
  add(1);
  await until(() => state.atOnce === 1);
  add(2);
  add(3);
  state.hold = Promise.resolve();
  held.resolve();
  await until(() => done.length === 2);
  expect([done, state.most]).toEqual([[[1], [2, 3]], 1]);
});

test("what failed is tried again, with what has come meanwhile", async () => {
  const { add, done, state } = gather();
  state.works = false;
  add(1);
  await until(() => state.most === 1 && state.atOnce === 0);
  add(2);
  state.works = true;
  await until(() => done.length > 0);
  expect(done.flat()).toEqual([1, 2]);
});

test("a failure waits its own pause", async () => {
  const { add, done, state, later } = gather({ retryMs: NEVER_MS });
  state.works = false;
  add(1);
  await until(() => state.most === 1 && state.atOnce === 0);
  state.works = true;
  add(2);
  expect(done).toEqual([]);
  await later.stop();
  expect(done).toEqual([[1, 2]]);
});

test("a stop does what is left, after what is being done, and nothing comes after it", async () => {
  const { add, done, state, later } = gather();
  const held = Promise.withResolvers<void>();
  state.hold = held.promise;
  add(1);
  await until(() => state.atOnce === 1);
  add(2);
  const stopped = later.stop();
  held.resolve();
  await stopped;
  expect([done, state.most]).toEqual([[[1], [2]], 1]);
  state.works = false;
  add(3);
  await later.stop();
  expect(done).toEqual([[1], [2]]);
});
