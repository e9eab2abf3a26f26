/** Workers' own secrets: each names its worker, no two are the same, and only the coordinator's secret makes them. */
import { describe, expect, test } from "bun:test";
import { authorityOf, workerJwtSecret, workerSecret } from "../../../shared/protocol/worker-secret.ts";
import { weakness } from "../../../shared/runtime/secrets.ts";

const ROOT = "the-root-of-workers-0123456789";

test.each(["worker-1", "gpu.example.com", "작업자 1", "a".repeat(255), "비".repeat(255), "w\n2", "worker1.x"])(
  "the secret of %p names it, and is a good one",
  (authority) => {
    const secret = workerSecret(ROOT, authority);
    expect([authorityOf(secret), weakness(secret)]).toEqual([authority, null]);
    // A header carries it.
    expect(secret).toMatch(/^worker1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/);
  },
);

test("another name, another root or another use makes another secret", () => {
  const made = [
    workerSecret(ROOT, "a"),
    workerSecret(ROOT, "b"),
    workerSecret(`${ROOT}x`, "a"),
    workerJwtSecret(ROOT, "a"),
    workerJwtSecret(ROOT, "b"),
    workerJwtSecret(`${ROOT}x`, "a"),
  ];
  expect(new Set(made.map((secret) => secret.split(".").at(-1))).size).toBe(made.length);
  expect(workerSecret(ROOT, "a")).toBe(workerSecret(ROOT, "a"));
});

describe("no worker's own secret", () => {
  const mac = "x".repeat(43);
  test.each([
    ["any text", "an-api-key-0123456789-a"],
    ["nothing", ""],
    ["one without a name", `worker1..${mac}`],
    ["one with a short end", `worker1.YQ.${mac.slice(1)}`],
    ["one with more behind it", `worker1.YQ.${mac}.`],
    ["one of another version", `worker2.YQ.${mac}`],
    ["a name in another spelling", `worker1.YR.${mac}`],
    ["a name that is no text", `worker1._w.${mac}`],
  ])("is %s", (_what, text) => {
    expect(authorityOf(text)).toBeNull();
  });
});
