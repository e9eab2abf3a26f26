/** Whose connections begin with a PROXY header, and how often the log says that one did not. */
import { expect, test } from "bun:test";
import { pino } from "pino";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { createProxyHeaders } from "../../../worker/http/proxy-headers.ts";

function start() {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const clock = { now: 0 };
  return { headers: createProxyHeaders(addressMatcher(["10.0.0.0/8", "::1"]), log, () => clock.now), lines, clock };
}

test("those of the trusted proxies, in any spelling, and of a client that has left nobody's", () => {
  const { headers } = start();
  const asked = ["10.1.2.3", "::ffff:10.1.2.3", "::1", "11.0.0.1", "::2", ""].map((peer) => headers.from(peer));
  expect(asked).toEqual([true, true, true, false, false, false]);
});

test("a line a minute, which counts those that were not told", () => {
  const { headers, lines, clock } = start();
  for (const at of [0, 1, 59_999, 60_000, 60_001, 120_000]) {
    clock.now = at;
    headers.refused("10.1.2.3", `at ${at}`);
  }
  expect(lines.map(({ key, peer, reason, unsaid }) => [key, peer, reason, unsaid])).toEqual([
    ["proxy_worker.accept_proxy_protocol", "10.1.2.3", "at 0", 0],
    ["proxy_worker.accept_proxy_protocol", "10.1.2.3", "at 60000", 2],
    ["proxy_worker.accept_proxy_protocol", "10.1.2.3", "at 120000", 1],
  ]);
});
