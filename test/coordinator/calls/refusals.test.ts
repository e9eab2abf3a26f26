/** Every refusal that a call documents: its status, its problem document, and that nothing has come of the request. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { meanwhile, places, type Started } from "./places.ts";
import type { Place } from "./plan.ts";
import { table } from "./table.ts";

describe.each(Object.keys(places) as Place[])("at a coordinator that is %s", (place) => {
  let started: Started;
  beforeAll(async () => {
    started = await places[place]();
  });
  afterAll(() => started.stop());

  const examples = table.flatMap(({ name, documented, refusals }) =>
    refusals.filter((one) => one.place === place).map((one) => ({ ...one, name, title: documented.name })),
  );

  const title = "$title with $what is $status";
  test.each(examples)(title, isRefused);

  async function isRefused({ name, ask, headers, says, status }: (typeof examples)[number]): Promise<void> {
    const { stage } = started;
    const given = await ask(stage);
    const before = await stage.state();
    const theirs = await headers?.();
    const answer = await meanwhile(started, () => stage.send(name, given, theirs));
    expect(answer.status).toBe(status);
    says(answer);
    const { circuits, slots, workers } = await stage.state();
    expect({ circuits, slots }).toEqual({ circuits: before.circuits, slots: before.slots });
    expect(workers.map(({ id, status }) => [id, status])).toEqual(before.workers.map(({ id, status }) => [id, status]));
    // What the examples have made for themselves would take all ports in the end.
    if (circuits.length > 100) await stage.clear();
  }
});
