/** What is read of the platform's messages: three names, and of them only what is whole. */
import { expect, test } from "bun:test";
import { readMessage } from "../../../coordinator/platform/message.ts";
import { message } from "../../support/platform.ts";

const session_id = "5e000000-0000-4000-8000-00000000000a";
const over = { kind: "session-over", sessionId: session_id, requestId: null };

test.each([
  ["session_terminated", { session_id, reason: "x" }, over],
  ["session_terminated", { session_id: session_id.toUpperCase() }, over],
  ["session_terminated", { session_id, reason: { a: [1] }, more: 1 }, over],
  ["scheduling", { session_id, creation_id: "c", status_transition: "TERMINATED", reason: "" }, over],
  ["scheduling", { session_id, creation_id: "c", status_transition: "Cancelled", reason: "" }, over],
  ["kernel_terminated", { kernel_id: "k", session_id, reason: "", exit_code: 1 }, { ...over, kind: "kernel-gone" }],
])("%s %j", (name, payload, read) => {
  expect(readMessage(message(name, payload))).toEqual(read as ReturnType<typeof readMessage>);
});

test.each([
  [JSON.stringify({ request_id: "req-1", user: null }), "req-1"],
  [JSON.stringify({ request_id: null }), null],
  [JSON.stringify({ request_id: "a b" }), null],
  [JSON.stringify([]), null],
  ["{", null],
  [7, null],
  [{ request_id: "req-1" }, null],
])("its request is named in its metadata: %j", (metadata, requestId) => {
  const text = JSON.stringify({ ...(JSON.parse(message("session_terminated", { session_id })) as object), metadata });
  expect(readMessage(text)).toEqual({ kind: "session-over", sessionId: session_id, requestId });
});

const NO_ENVELOPE = "no envelope with name and payload";
const NO_SESSION = "session_terminated without a session_id that is a UUID";

test.each([
  ["not JSON", "{", NO_ENVELOPE],
  ["a number", "7", NO_ENVELOPE],
  ["null", "null", NO_ENVELOPE],
  ["a list", "[]", NO_ENVELOPE],
  ["a payload that is no text", JSON.stringify({ name: "session_terminated", payload: { session_id } }), NO_ENVELOPE],
  ["a name of the prototype", message("constructor", { session_id }), "a name that does not concern circuits"],
  ["another name", message("session_started", { session_id }), "a name that does not concern circuits"],
  ["a payload that is not JSON", JSON.stringify({ name: "session_terminated", payload: "{" }), NO_SESSION],
  ["a payload that is null", message("session_terminated", null), NO_SESSION],
  ["a list of sessions", message("session_terminated", { session_id: [session_id] }), NO_SESSION],
  ["an id that is no UUID", message("session_terminated", { session_id: "%" }), NO_SESSION],
  ["an id with more behind it", message("session_terminated", { session_id: `${session_id}\n` }), NO_SESSION],
  ["a session that runs", message("scheduling", { session_id, status_transition: "RUNNING" }), "scheduling that ends nothing"],
  ["a status that is a list", message("scheduling", { session_id, status_transition: ["TERMINATED"] }), "scheduling that ends nothing"],
  ["no status", message("scheduling", { session_id }), "scheduling that ends nothing"],
  ["megabytes", message("session_terminated", { session_id, reason: "x".repeat(2_000_000) }), "too long"],
])("%s is ignored", (_what, text, why) => {
  expect(readMessage(text)).toEqual({ kind: "ignored", why, concerns: expect.any(Boolean) as boolean });
}); // prettier-ignore

test("the operator is told of what would concern circuits and can't be read, and of nothing else", () => {
  const concerns = (text: string) => {
    const read = readMessage(text);
    return read.kind === "ignored" && read.concerns;
  };
  // As other versions of the platform say it.
  expect(concerns(JSON.stringify({ name: "session_terminated", source: "manager", args: "kggx" }))).toBe(true);
  expect(concerns(message("session_terminated", {}))).toBe(true);
  expect(concerns(message("session_started", {}))).toBe(false);
  expect(concerns(message("scheduling", { session_id, status_transition: "RUNNING" }))).toBe(false);
  expect(concerns("7")).toBe(false);
});
