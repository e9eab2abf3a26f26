/** What connections to apps that do not come about are told as: what can't be begun leaves nothing behind; a reset at once. */
import { describe, expect, test } from "bun:test";
import { CONNECT_LIMIT_MS, dial, dialling } from "../../../worker/net/dial.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { Connections } from "../../../worker/net/connections.ts";
import { Crowding } from "../../../shared/net/crowding.ts";
import { openFiles } from "../../../shared/net/file-limit.ts";
import { blackhole, type Doorway } from "../../contract/blackhole.ts";
import { atEnd } from "../../support/at-end.ts";
import { roomy } from "../../support/listening.ts";
import { owed } from "../../support/owed.ts";
import { until } from "../../support/until.ts";
import { UpstreamFault } from "../../../worker/net/upstream-fault.ts";
import { judged, type Target } from "../../../worker/net/targets.ts";

const quiet = { data: () => undefined };

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

describe.skipIf(process.platform !== "linux")("one that is given up", () => {
  test.each([
    ["revoked", "by whom it was for", CONNECT_LIMIT_MS],
    ["late", "at its limit", 50],
  ])("is %s %s: it is not asked any more at once, and takes no room", async (kind, _by, limit) => {
    const { connections } = roomy();
    const hole = await holeFor();
    const before = openFiles() ?? 0;
    const given = dial(judged("127.0.0.1", hole.port), undefined, quiet, { connections, limit });
    expect([hole.asking(), dialling("127.0.0.1", hole.port)]).toEqual([1, 1]);
    if (kind === "revoked") given.cancel();
    expect(await faultOf(given.socket)).toBe(kind);
    expect([hole.asking(), dialling("127.0.0.1", hole.port), connections.files]).toEqual([0, 0, 0]);
    given.cancel();
    await until(() => (openFiles() ?? 0) <= before);
    expect(connections.files).toBe(0);
  });

  test("leaves as much room after hundreds as before, and no idle client makes way", async () => {
    const crowding = new Crowding(silentLog());
    const connections = new Connections({ connections: 4, ofAddress: 4, files: 8, isExempt: () => false, crowding });
    const hole = await holeFor();
    for (let at = 0; at < 4; at++) connections.enter(() => undefined);
    for (let at = 0; at < 300; at++) {
      const given = dial(judged("127.0.0.1", hole.port), undefined, quiet, { connections });
      given.cancel();
      expect(await faultOf(given.socket)).toBe("revoked");
    }
    expect([connections.clients, connections.files, hole.asking()]).toEqual([4, 4, 0]);
  });

  test("at the moment in which it is accepted is closed, and the app is told", async () => {
    const { connections } = roomy();
    const events: string[] = [];
    const socket = {
      open: () => void events.push("open"),
      close: () => void events.push("close"),
      data: () => undefined,
    };
    using there = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
    // On loopback it is accepted as soon as it is asked for, and nobody has looked yet.
    const given = dial(judged("127.0.0.1", there.port), undefined, quiet, { connections });
    given.cancel();
    expect([await faultOf(given.socket), dialling("127.0.0.1", there.port)]).toEqual(["revoked", 0]);
    await until(() => events.length === 2);
    expect([events, connections.files]).toEqual([["open", "close"], 0]);
  });
});

describe("one that can't be ended, as where the system looks for the name's address,", () => {
  test("counts until the system has given it up; others do not", async () => {
    const { connections } = roomy();
    const hole = await blackhole();
    const given = dial(byName(hole.port), undefined, quiet, { connections });
    given.cancel();
    given.cancel();
    expect([await faultOf(given.socket), connections.files]).toEqual(["revoked", 1]);
    const there = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: quiet });
    const to = judged("127.0.0.1", there.port);
    const made = dial(to, undefined, quiet, { connections });
    await made.socket;
    made.cancel();
    expect(connections.files).toBe(1);
    there.stop(true);
    // The next SYN finds nobody there.
    hole.stop();
    await until(() => connections.files === 0, owed(20_000));
  });

  test("has no more than 31 beside it: then its address is not asked again, until one is gone", async () => {
    const { connections } = roomy();
    const hole = await blackhole();
    for (let at = 0; at < 32; at++) {
      const given = dial(byName(hole.port), undefined, quiet, { connections });
      given.cancel();
      expect(await faultOf(given.socket)).toBe("revoked");
    }
    expect(await faultOf(dial(byName(hole.port), undefined, quiet, { connections }).socket)).toBe("late");
    expect([connections.files, dialling("localhost", hole.port)]).toEqual([32, 32]);
    hole.stop();
    await until(() => connections.files === 0, owed(20_000));
    expect(await faultOf(dial(byName(hole.port), undefined, quiet, { connections }).socket)).toBe("unreachable");
  });
});

test("of a name's addresses one is its client's; the others count for as long as they are asked", async () => {
  const { connections } = roomy();
  const hole = await holeFor();
  const there = Bun.listen({ hostname: "127.0.0.2", port: hole.port, socket: quiet });
  atEnd(() => there.stop(true));
  const to: Target = { host: "two.test", port: hole.port, addresses: () => ["127.0.0.1", "127.0.0.2"] };
  const counted: number[] = [];
  const open = () => void counted.push(connections.files);
  const socket = await dial(to, undefined, { ...quiet, open }, { connections }).socket;
  expect([socket.remoteAddress, counted]).toEqual(["127.0.0.2", [1]]);
  if (process.platform === "linux") expect([connections.files, hole.asking()]).toEqual([0, 0]);
  socket.terminate();
});

// --- internal ---

/** One that goes with the test. */
async function holeFor(): Promise<Doorway> {
  const hole = await blackhole();
  atEnd(() => hole.stop());
  return hole;
}

/** Bun looks for the address itself, and connects later: nobody knows its socket. */
function byName(port: number): Target {
  return { host: "localhost", port, addresses: () => ["localhost"] };
}

function faultOf(socket: Promise<unknown>): Promise<string> {
  return socket.then(
    () => "open",
    (error: unknown) => (error as UpstreamFault).kind,
  );
}
