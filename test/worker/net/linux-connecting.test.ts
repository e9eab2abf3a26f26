/** Sockets that Bun is connecting are ended by their descriptors: the right ones, and no others. */
import { describe, expect, test } from "bun:test";
import { endConnecting, noteSocket, type NotedSocket } from "../../../worker/net/linux-connecting.ts";
import { blackhole, type Doorway } from "../../contract/blackhole.ts";
import { atEnd } from "../../support/at-end.ts";

const NOWHERE: NotedSocket = { fd: -1, cookie: 0n };
const quiet = { data: () => undefined };

describe.skipIf(process.platform !== "linux")("a socket that is being connected", () => {
  test("is noted, every time, and its owner is told of a reset when it is ended", async () => {
    const hole = await holeFor();
    const all = Array.from({ length: 100 }, () => asked("127.0.0.1", hole.port));
    expect([new Set(all.map(({ socket }) => socket.cookie)).size, hole.asking()]).toEqual([100, 100]);
    for (const { socket } of all) expect(endConnecting(socket, "127.0.0.1", hole.port)).toBe(true);
    expect(hole.asking()).toBe(0);
    for (const { outcome } of all) expect(await outcome).toBe("ECONNRESET");
  });

  test("is not touched when it has the descriptor of one that is gone", async () => {
    const hole = await holeFor();
    const gone = Array.from({ length: 5 }, () => asked("127.0.0.1", hole.port));
    for (const { socket } of gone) endConnecting(socket, "127.0.0.1", hole.port);
    await Promise.all(gone.map(({ outcome }) => outcome));
    // Another file may have taken one of the descriptors meanwhile.
    const others = Array.from({ length: 10 }, () => asked("127.0.0.1", hole.port));
    expect(others.some(({ socket: { fd } }) => gone.some(({ socket }) => socket.fd === fd))).toBe(true);
    for (const { socket } of gone) expect(endConnecting(socket, "127.0.0.1", hole.port)).toBe(false);
    expect(hole.asking()).toBe(others.length);
    for (const { socket } of others) endConnecting(socket, "127.0.0.1", hole.port);
  });

  test("to another address is not touched: it is another thread's", async () => {
    const hole = await holeFor();
    const { socket } = asked("127.0.0.1", hole.port);
    for (const address of ["127.0.0.2", "::1", "localhost", ""])
      expect([address, endConnecting(socket, address, hole.port)]).toEqual([address, false]);
    expect(endConnecting(socket, "127.0.0.1", hole.port + 1)).toBe(false);
    expect(hole.asking()).toBe(1);
    expect(endConnecting(socket, "127.0.0.1", hole.port)).toBe(true);
  });

  test.each(["127.0.0.1", "::1"])("is left to its owner when it was accepted: %s", async (hostname) => {
    using there = Bun.listen({ hostname, port: 0, socket: quiet });
    const { socket, outcome } = asked(hostname, there.port);
    expect(endConnecting(socket, "127.0.0.2", there.port)).toBe(false);
    expect(endConnecting(socket, "::2", there.port)).toBe(false);
    expect(endConnecting(socket, hostname, there.port)).toBe(true);
    expect(await outcome).toBe("open");
  });

  test("is not known when it is opened later, by name; nor is what is none", async () => {
    const hole = await holeFor();
    const { socket, opened } = noteSocket(() => Bun.connect({ hostname: "localhost", port: hole.port, socket: quiet }));
    opened.catch(() => undefined);
    expect([socket, noteSocket(() => 1).socket]).toEqual([null, null]);
    expect(endConnecting(NOWHERE, "127.0.0.1", hole.port)).toBe(false);
  });
});

// --- internal ---

async function holeFor(): Promise<Doorway> {
  const hole = await blackhole();
  atEnd(() => hole.stop());
  return hole;
}

/** A connection that is asked for: "open", or the code of the error. */
function asked(hostname: string, port: number): { socket: NotedSocket; outcome: Promise<string> } {
  const { opened, socket } = noteSocket(() => Bun.connect({ hostname, port, socket: quiet }));
  const outcome = opened.then(
    (made) => {
      made.terminate();
      return "open";
    },
    (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : "?"),
  );
  return { socket: socket ?? NOWHERE, outcome };
}
