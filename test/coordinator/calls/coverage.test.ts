/** Nothing that the document promises is without a test: a new call, or a new status of one, is noticed here. */
import { describe, expect, test } from "bun:test";
import { documented } from "./document.ts";
import { calls } from "./stage.ts";
import { table } from "./table.ts";

test("the table has exactly the calls of the document", () => {
  const mine = Object.values(calls).map(({ method, path }) => `${method} ${path}`);
  expect(mine.toSorted()).toEqual(documented.map(({ name }) => name).toSorted());
});

test.each([...table].map((call) => ({ ...call, title: call.documented.name })))(
  "$title has an example for every documented status, and for no other",
  ({ documented: { refusals }, refusals: examples }) => {
    expect([...new Set(examples.map(({ status }) => status))].toSorted()).toEqual(refusals.toSorted());
  },
);

describe("the document tells of a body that is too long", () => {
  const withBody = documented.filter(({ hasBody }) => hasBody);

  test.each(withBody)("$name", ({ refusals }) => {
    expect(refusals).toContain(413);
  });
});
