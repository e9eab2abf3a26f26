/** Work that is done again and again: when it comes, and that it never overlaps. */
import { expect, test } from "bun:test";
import { createTicker, type Ticker } from "../../../worker/state/ticker.ts";
import { atEnd } from "../../support/at-end.ts";
import { until } from "../../support/until.ts";

const LONG = 600_000;

/** A ticker whose runs end when the test says so. */
function stage(period: number) {
  const runs: PromiseWithResolvers<void>[] = [];
  const failures: unknown[] = [];
  let open = 0;
  let most = 0;
  const ticker: Ticker = createTicker({
    period,
    async work() {
      const run = Promise.withResolvers<void>();
      runs.push(run);
      most = Math.max(most, ++open);
      await run.promise.finally(() => open--);
    },
    failed: (error) => failures.push(error),
  });
  const last = () => runs.at(-1) ?? Promise.withResolvers<void>();
  atEnd(() => {
    const stopped = ticker.stop();
    last().resolve();
    return stopped;
  });
  return { ticker, runs, failures, last, most: () => most };
}

test("nothing comes before it is asked for, and then again after each run", async () => {
  const { ticker, runs, last } = stage(1);
  await Bun.sleep(10);
  expect(runs.length).toBe(0);
  ticker.within(0);
  for (let run = 1; run <= 3; run++) {
    await until(() => runs.length === run);
    last().resolve();
  }
});

test("whoever wants it sooner has it sooner, and who wants it later puts nothing off", async () => {
  const { ticker, runs } = stage(LONG);
  ticker.within(LONG);
  ticker.within(5);
  ticker.within(LONG);
  await until(() => runs.length === 1);
});

test("what is asked for during a run comes after it, once", async () => {
  const { ticker, runs, last, most } = stage(LONG);
  ticker.within(0);
  await until(() => runs.length === 1);
  ticker.within(0);
  ticker.within(0);
  await Bun.sleep(10);
  expect(runs.length).toBe(1);
  last().resolve();
  await until(() => runs.length === 2);
  last().resolve();
  await Bun.sleep(10);
  expect([runs.length, most()]).toEqual([2, 1]);
});

test("a run that fails is told, and the next one comes", async () => {
  const { ticker, runs, failures, last } = stage(1);
  ticker.within(0);
  await until(() => runs.length === 1);
  last().reject(new Error("once"));
  await until(() => runs.length === 2);
  expect(failures).toEqual([new Error("once")]);
});

test("a stop waits for the run that is under way, and none comes after it", async () => {
  const { ticker, runs, last } = stage(0);
  ticker.within(0);
  await until(() => runs.length === 1);
  let isStopped = false;
  const stopped = ticker.stop().then(() => (isStopped = true));
  await Bun.sleep(10);
  expect(isStopped).toBe(false);
  last().resolve();
  await stopped;
  ticker.within(0);
  await Bun.sleep(10);
  expect(runs.length).toBe(1);
});

test("a stop before the first run is done at once", async () => {
  const { ticker, runs } = stage(LONG);
  ticker.within(1);
  await ticker.stop();
  await Bun.sleep(10);
  expect(runs.length).toBe(0);
});
