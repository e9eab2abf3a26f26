/** Every call with a good request: the answer has its documented shape and says what is so afterwards; so does the next. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startUsual, type Started } from "./places.ts";
import { expectProblem } from "./plan.ts";
import { table } from "./table.ts";

let started: Started;
beforeAll(async () => {
  started = await startUsual(300);
});
afterAll(() => started.stop());

const all = table.map((call) => ({ ...call, title: call.documented.name }));

describe("a good request is answered, and so it is:", () => {
  test.each(all)("$title", async ({ name, plan }) => {
    const { stage } = started;
    const input = await plan.good(stage);
    await plan.so(await stage.call(name, input), input, stage);
  });
});

describe("the same request once more says the same, and nothing is doubled:", () => {
  test.each(all)("$title", async ({ name, plan: { good, so, same = (answer) => answer } }) => {
    const { stage } = started;
    const input = await good(stage);
    const first = await stage.call(name, input);
    const before = await stage.state();
    if (same === null) {
      expectProblem(await stage.send(name, input), "object-not-found", "circuit");
      return expect(await stage.state()).toEqual(before);
    }
    const second = await stage.call(name, input);
    expect(await stage.state()).toEqual(before);
    expect(same(second)).toEqual(same(first));
    await so(second, input, stage);
  });
});
