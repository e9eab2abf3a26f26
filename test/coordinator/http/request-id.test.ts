/** The request id that the platform gave: taken, checked, never made. */
import { beforeEach, describe, expect, test } from "bun:test";
import { pino } from "pino";
import { requestIdentity } from "../../../coordinator/http/request-id.ts";

const lines: Record<string, unknown>[] = [];
const log = pino(
  { level: "warn", base: null, timestamp: false },
  { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
);
const identity = (headers: Record<string, string>) => requestIdentity(new Headers(headers), log);

beforeEach(() => void lines.splice(0));

describe("a request id", () => {
  test.each([["X-Backend-Request-ID"], ["X-BackendAI-RequestID"]])("is taken from %s", (name) => {
    expect(identity({ [name]: "req-1" })).toBe("req-1");
    expect(identity({ [name.toLowerCase()]: "req-1" })).toBe("req-1");
    expect(lines).toEqual([]);
  });

  test("is taken from X-Backend-Request-ID when both are there", () => {
    expect(identity({ "X-BackendAI-RequestID": "old", "X-Backend-Request-ID": "new" })).toBe("new");
  });

  test("is taken from the other one when it is empty", () => {
    expect(identity({ "X-BackendAI-RequestID": "old", "X-Backend-Request-ID": "" })).toBe("old");
    expect([identity({ "X-Backend-Request-ID": "" }), lines]).toEqual([null, []]);
  });

  test.each(["a", "AZaz09._:-", "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d", "x".repeat(128)])(
    "is kept as it is: %s",
    (id) => {
      expect(identity({ "X-Backend-Request-ID": id })).toBe(id);
    },
  );

  test("is not made when there is none, and nothing is logged", () => {
    expect([identity({}), identity({ "X-Request-ID": "a" })]).toEqual([null, null]);
    expect(lines).toEqual([]);
  });
});

describe("an id that is not allowed", () => {
  test.each(["x".repeat(129), "a b", "a/b", "a,b", "a%20b", "é", "{}", "<a>"])(
    "is not stored, and the log says so: %p",
    (given) => {
      expect(identity({ "X-Backend-Request-ID": given })).toBeNull();
      expect(lines).toEqual([
        {
          level: 40,
          length: given.length,
          msg: "request id not stored: wanted 1 to 128 characters of [A-Za-z0-9._:-]",
        },
      ]);
    },
  );

  test("is not replaced by the other header's", () => {
    expect(identity({ "X-Backend-Request-ID": "a b", "X-BackendAI-RequestID": "old" })).toBeNull();
  });

  test("is not in the log itself: a token may stand in its place", () => {
    identity({ "X-Backend-Request-ID": "Bearer hidden-word" });
    expect(JSON.stringify(lines)).not.toContain("hidden");
  });
});
