/** Request bodies: JSON, not too long, not too deep. */
import { describe, expect, test } from "bun:test";
import { RawBody, readBody } from "../../../coordinator/http/body.ts";
import { refused } from "../../support/values.ts";

const LIMIT = 1024 * 1024;
const TOO_DEEP = { kind: "invalid-api-params", msg: "body: wanted at most 32 levels of nesting" } as const;
const NOT_JSON = { kind: "invalid-api-params", msg: "body: wanted JSON, got something else" } as const;

const read = (request: Request, isTrusted = false) =>
  readBody(request, { small: LIMIT, large: 4 * LIMIT, isTrusted: () => Promise.resolve(isTrusted) });
const decode = (text: string): unknown => new RawBody(text).decode();
const lists = (levels: number, inside: string) => "[".repeat(levels) + inside + "]".repeat(levels);
const objects = (levels: number, inside: string) => '{"a":'.repeat(levels) + inside + "}".repeat(levels);

function post(
  body: string | Uint8Array<ArrayBuffer> | ReadableStream | null,
  headers: Record<string, string> = {},
): Request {
  return new Request("http://coordinator.example/", { method: "POST", body, headers });
}

/** A body of unknown length that counts what is taken of it. */
function endless(): { stream: ReadableStream; taken: () => number } {
  const chunk = new Uint8Array(64 * 1024);
  let taken = 0;
  const stream = new ReadableStream({
    pull(controller) {
      taken += chunk.byteLength;
      controller.enqueue(chunk);
    },
  });
  return { stream, taken: () => taken };
}

describe("a body", () => {
  test.each([
    ['{"a":[1,null,"x"]}', { a: [1, null, "x"] }],
    [" [] ", []],
    ['"text"', "text"],
    ["0", 0],
    ["null", null],
    ['{"한":"글\\u0000"}', { 한: "글\u0000" }],
  ])("that is JSON is read: %s", (text, value) => {
    expect(decode(text)).toEqual(value);
  });

  test.each(["", "nonsense", "{", '{"a":1,}', "a=1&b=2", "NaN", "[[[["])(
    "that is not JSON is 400: %s",
    async (text) => {
      expect(await refused(() => decode(text))).toEqual(NOT_JSON);
    },
  );

  test.each([
    ["lists around a value", lists(32, "1")],
    ["objects around a value", objects(32, "1")],
    ["lists with nothing inside", lists(32, "")],
    ["both", lists(16, objects(16, '"x"'))],
    ["many side by side", `[${Array(1000).fill(lists(31, "1")).join(",")}]`],
  ])("of 32 levels is read: %s", (_what, text) => {
    expect(decode(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ["lists around a value", lists(33, "1")],
    ["objects around a value", objects(33, "1")],
    ["lists with nothing inside", lists(33, "")],
    ["objects with nothing inside", objects(32, "{}")],
    ["very many levels", lists(5000, "1")],
    ["the last of many", `[${lists(2, "1")},${lists(32, "1")}]`],
  ])("of more levels is 400: %s", async (_what, text) => {
    expect(await refused(() => decode(text))).toEqual(TOO_DEEP);
  });
});

describe("reading a body", () => {
  test("gives its text as it came, decoded or not", async () => {
    expect((await read(post(' {"a": "한글"} '))).text).toBe(' {"a": "한글"} ');
    expect((await read(post("nonsense"))).text).toBe("nonsense");
    expect((await read(post(null))).text).toBe("");
  });

  test("joins characters that came in pieces", async () => {
    const bytes = new TextEncoder().encode('"한글"');
    const stream = new ReadableStream({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    expect((await read(post(stream))).decode()).toBe("한글");
  });

  test("takes what the limit says and not a byte more", async () => {
    expect((await read(post("x".repeat(LIMIT)))).text).toHaveLength(LIMIT);
    expect(await refused(() => read(post("x".repeat(LIMIT + 1))))).toEqual({
      kind: "payload-too-large",
      msg: "body: wanted at most 1048576 bytes, got more",
    });
  });

  test("counts bytes, not characters", async () => {
    expect((await refused(() => read(post("한".repeat(LIMIT / 2))))).kind).toBe("payload-too-large");
  });

  test("does not begin when too much is announced", async () => {
    const { stream, taken } = endless();
    const before = taken();
    const announced = { "Content-Length": String(LIMIT + 1) };
    expect(await refused(() => read(post(stream, announced)))).toEqual({
      kind: "payload-too-large",
      msg: "body: wanted at most 1048576 bytes, got 1048577 bytes",
    });
    expect(taken() - before).toBeLessThanOrEqual(64 * 1024);
  });

  test("ends soon after the limit when nothing is announced", async () => {
    const { stream, taken } = endless();
    expect((await refused(() => read(post(stream)))).kind).toBe("payload-too-large");
    expect(taken()).toBeLessThan(2 * LIMIT);
  });

  test.each([
    ["announced", (text: string) => post(text, { "Content-Length": String(text.length) })],
    ["not announced", (text: string) => post(new Blob([text]).stream())],
  ])("takes more of a caller who holds the secret, up to a limit too: %s", async (_how, request) => {
    expect((await read(request("x".repeat(3 * LIMIT)), true)).text).toHaveLength(3 * LIMIT);
    expect((await refused(() => read(request("x".repeat(3 * LIMIT)), false))).msg).toContain("at most 1048576 bytes");
    expect((await refused(() => read(request("x".repeat(4 * LIMIT + 1)), true))).msg).toContain(
      "at most 4194304 bytes",
    );
  });
});

test("a million of numbers costs little more than to parse them", () => {
  const text = `[${"1,".repeat(500_000)}1]`;
  const best = (work: () => unknown) =>
    Math.min(
      ...Array.from({ length: 5 }, () => {
        const began = performance.now();
        work();
        return performance.now() - began;
      }),
    );
  // It was sixty times as much.
  expect(best(() => decode(text)) / best(() => JSON.parse(text))).toBeLessThan(10);
});
