/** The body of an app's answer as `Bun.serve` gets it: what is kept of a client that takes its time ends with the answer. */
import { expect, test } from "bun:test";
import { answerBody } from "../../../../worker/engine/bun/http.ts";
import { ServedClient } from "../../../../worker/engine/bun/served-client.ts";
import { deadlines } from "../../../../worker/net/deadlines.ts";
import type { Attempt } from "../../../../worker/seam/engine.ts";

const HOUR_MS = 3_600_000;

/** An answer of which the client has one part, and has not asked for the next. */
async function given() {
  let released = 0;
  const attempt: Pick<Attempt, "stop" | "moved" | "release"> = {
    stop: () => undefined,
    moved: () => undefined,
    release: () => void released++,
  };
  const limits = { bodyMs: HOUR_MS, readerMs: HOUR_MS };
  const client = new ServedClient(new Request("http://app.example/"), { timeout: () => undefined }, limits);
  const app = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(4)) });
  const before = deadlines.size;
  const reader = answerBody(null, app.getReader(), attempt as Attempt, client).getReader();
  await reader.read();
  expect(deadlines.size).toBe(before + 1);
  return { attempt, reader, isOver: () => deadlines.size === before && released > 0 };
}

test("a client that is waited for is forgotten when the route goes", async () => {
  const { attempt, isOver } = await given();
  attempt.stop();
  expect(isOver()).toBe(true);
});

test("and when it leaves", async () => {
  const { reader, isOver } = await given();
  await reader.cancel();
  expect(isOver()).toBe(true);
});
