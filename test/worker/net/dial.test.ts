/** What connections to apps that do not come about are told as: what can't be begun leaves nothing behind; a reset at once. */
import { expect, test } from "bun:test";
import { dial, dialling } from "../../../worker/net/dial.ts";
import { UpstreamFault } from "../../../worker/net/upstream-fault.ts";
import { judged } from "../../../worker/net/targets.ts";

test.each([
  ["a port that is none", judged("127.0.0.1", 70_000)],
  ["no host", judged("", 1)],
])("%s is unreachable at once", async (_what, to) => {
  const { socket } = dial(to, undefined, { data: () => undefined });
  const fault = await socket.then(
    () => null,
    (error: unknown) => error,
  );
  expect(fault).toBeInstanceOf(UpstreamFault);
  expect([(fault as UpstreamFault).kind, dialling(to.host, to.port)]).toEqual(["unreachable", 0]);
});

test("an app that resets each connection at once has accepted it: it is broken, not away", async () => {
  const program = `const { port } = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open: (s) => s.terminate(), data() {} } }); console.log(port);`;
  // A process of its own: it resets before this one looks.
  await using child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  const kinds = new Set<string>();
  // Where this process looks before the reset has come it is open first; so it looks late, and often enough.
  for (let at = 0; at < 2000 && (at < 50 || !kinds.has("broken")); at++) {
    const { socket } = dial(judged("127.0.0.1", port), undefined, { data: () => undefined });
    for (const begun = performance.now(); performance.now() - begun < 1;);
    kinds.add(
      await socket.then(
        () => "open",
        (error: unknown) => (error as UpstreamFault).kind,
      ),
    );
  }
  expect(kinds.has("broken")).toBe(true);
  expect(kinds.has("unreachable")).toBe(false);
});
