/** Lines that repeat: the first at once, then how many more there were; whom they are about is never lost. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { pino } from "pino";
import { Failure, toFailure } from "../../../shared/failure.ts";
import { reportFailure } from "../../../shared/runtime/report-failure.ts";
import { ROOT } from "../../support/spawned.ts";
import { until } from "../../support/until.ts";

function logged() {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { base: null, timestamp: false },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const refuse = (peer: string, id: string, msg = "no cookie") =>
    reportFailure(log, new Failure("invalid-credentials", msg), { error_id: id, peer, method: "GET", url: `/${id}` });
  return { lines, log, refuse };
}

const first = (peer: string, id: string) => ({ level: 30, error_id: id, peer, method: "GET", url: `/${id}`, status: 401, reason: "no cookie", msg: "request refused" }); // prettier-ignore

test("the first refusal of a kind and address is told at once, the others by their number and their last reason", async () => {
  const { lines, refuse } = logged();
  // Each is found by the id that its page shows: the line that stands for it.
  expect(["a1", "a2", "a3"].map((id) => refuse("203.0.113.7", id))).toEqual(["a1", "a1", "a1"]);
  expect(refuse("203.0.113.8", "b1")).toBe("b1");
  expect(refuse("203.0.113.7", "a4", "another reason")).toBe("a1");
  expect(lines).toEqual([first("203.0.113.7", "a1"), first("203.0.113.8", "b1")]);
  await until(() => lines.length === 3);
  const { url: _url, ...rest } = first("203.0.113.7", "a1");
  expect(lines[2]).toEqual({ ...rest, reason: "another reason", more: 3 });
});

test("one that goes on has a line a second; one that was quiet for a second begins anew", async () => {
  const { lines, refuse } = logged();
  const start = performance.now();
  while (lines.length < 4) {
    refuse("203.0.113.7", "a");
    await Bun.sleep(5);
  }
  // The first, and one after each second.
  expect(performance.now() - start).toBeGreaterThan(2900);
  expect(lines.map((line) => typeof line["more"])).toEqual(["undefined", "number", "number", "number"]);
  let id = refuse("203.0.113.7", "later");
  for (; id !== "later"; id = refuse("203.0.113.7", "later")) await Bun.sleep(1500);
  expect(lines.at(-1)).toEqual(first("203.0.113.7", "later"));
});

test("errors of a service itself are each told", () => {
  const { lines, log } = logged();
  for (let at = 0; at < 3; at++) reportFailure(log, toFailure(new Error("bug")), { peer: "203.0.113.7" });
  expect(lines.map(({ msg }) => msg)).toEqual(["request failed", "request failed", "request failed"]);
});

test("addresses without end are told as others, and not remembered", async () => {
  const { lines, refuse } = logged();
  for (let at = 0; at < 12_000; at++) refuse(`10.0.${at >> 8}.${at & 255}`, String(at));
  expect(lines.length).toBe(10_001);
  await until(() => lines.length > 10_001);
  expect(lines.at(-1)).toMatchObject({ peer: "others", more: 1999 });
});

test("what was counted when a process ends is told, before the log's own end waits for its reader", () => {
  const write = `
    import { createLog } from ${JSON.stringify(join(ROOT, "shared/runtime/log.ts"))};
    import { tellSparingly } from ${JSON.stringify(join(ROOT, "shared/runtime/sparingly.ts"))};
    const log = createLog("test", "info");
    // As the log itself did.
    process.on("exit", () => log.info("the end"));
    for (let at = 0; at < 3; at++) tellSparingly(log, { level: "info", kind: "k", line: { peer: "p" }, msg: "m" });`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", write]);
  const lines = stdout.toString().trimEnd().split("\n");
  const told = lines.map((line) => JSON.parse(line) as { msg: string; more?: number });
  expect(told.map(({ msg, more }) => [msg, more])).toEqual([
    ["m", undefined],
    ["m", 2],
    ["the end", undefined],
  ]);
});
