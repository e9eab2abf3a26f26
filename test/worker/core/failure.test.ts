/** Failures that are not the app's: each is told, however it is with the app. */
import { expect, test } from "bun:test";
import { Failure } from "../../../shared/failure.ts";
import type { Log } from "../../../shared/runtime/log.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { answerFor } from "../../../worker/core/failure.ts";
import { Homes } from "../../../worker/circuits/homes.ts";
import { entry, head } from "../../support/values.ts";

function told() {
  const lines: unknown[] = [];
  const log: Log = Object.assign(silentLog(), { error: (about: { cause?: unknown }) => void lines.push(about.cause) });
  const proxies = { trusted: () => false, secure: false };
  return { lines, deps: { homes: new Homes(null), log, proxies, domain: null, now: () => 1 } };
}

test("an error of ours is told each time with its cause, and says nothing of the app", () => {
  const { lines, deps } = told();
  const one = entry({ app: "secret-app" });
  const asked = head({ headers: [["Accept", "text/html"]] });
  const bodies = ["first", "second"].map((cause) => {
    const failure = new Failure("internal-server-error", { cause: new Error(cause) });
    return answerFor(failure, asked, one, deps).body;
  });
  expect(lines).toEqual(["first", "second"]);
  expect(bodies.join()).not.toContain("secret-app");
  expect(one.trouble).toBeNull();
});

test("a request that says of itself that it has come round too often leaves its app in peace", () => {
  const one = entry({ app: "jupyter" });
  const { status } = answerFor(new Failure("appproxy/loop"), head(), one, told().deps);
  expect([status, one.trouble]).toEqual([508, null]);
});
