/** What connections to apps that do not come about are told as: what can't be begun leaves nothing behind; a reset at once. */
import { expect, test } from "bun:test";
import { dial, dialling } from "../../../worker/net/dial.ts";
import { blackhole } from "../../contract/blackhole.ts";
import { roomy } from "../../support/listening.ts";
import { owed } from "../../support/owed.ts";
import { until } from "../../support/until.ts";
import { UpstreamFault } from "../../../worker/net/upstream-fault.ts";
import { judged, type Target } from "../../../worker/net/targets.ts";

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

test("one that was given up counts until the system has given it up; others do not", async () => {
  const { connections } = roomy();
  const hole = await blackhole();
  const given = dial(judged("127.0.0.1", hole.port), undefined, { data: () => undefined }, { connections });
  given.cancel();
  given.cancel();
  const fault = await given.socket.then(
    () => null,
    (error: unknown) => error,
  );
  expect([(fault as UpstreamFault).kind, connections.files]).toEqual(["revoked", 1]);
  const there = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const to = judged("127.0.0.1", there.port);
  const made = dial(to, undefined, { data: () => undefined }, { connections });
  await made.socket;
  made.cancel();
  expect(connections.files).toBe(1);
  there.stop(true);
  // The next SYN finds nobody there.
  hole.stop();
  await until(() => connections.files === 0, owed(20_000));
});

test("of a name's addresses one is its client's; the others count for as long as they are asked", async () => {
  const { connections } = roomy();
  const hole = await blackhole();
  const there = Bun.listen({ hostname: "127.0.0.2", port: hole.port, socket: { data: () => undefined } });
  const to: Target = { host: "two.test", port: hole.port, addresses: () => ["127.0.0.1", "127.0.0.2"] };
  const made = dial(to, undefined, { data: () => undefined }, { connections });
  const socket = await made.socket;
  expect([socket.remoteAddress, connections.files]).toEqual(["127.0.0.2", 1]);
  hole.stop();
  await until(() => connections.files === 0, owed(20_000));
  socket.terminate();
  there.stop(true);
});
