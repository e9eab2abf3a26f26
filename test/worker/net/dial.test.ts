/** Connections to apps: what can't even be begun is told as any other failure, and leaves nothing behind. */
import { expect, test } from "bun:test";
import { dial, dialling } from "../../../worker/net/dial.ts";
import { UpstreamFault } from "../../../worker/net/upstream-fault.ts";

test.each([
  ["a port that is none", { host: "127.0.0.1", port: 70_000 }],
  ["no host", { host: "", port: 1 }],
])("%s is unreachable at once", async (_what, to) => {
  const { socket } = dial(to, undefined, { data: () => undefined });
  const fault = await socket.then(
    () => null,
    (error: unknown) => error,
  );
  expect(fault).toBeInstanceOf(UpstreamFault);
  expect([(fault as UpstreamFault).kind, dialling(to)]).toEqual(["unreachable", 0]);
});
