/** Where a listener stands among those that share its address: found out without anybody noticing. */
import { afterEach, describe, expect, test } from "bun:test";
import { placeOf } from "../../../worker/listeners/linux-place.ts";
import { canSteer, openNoted, spread, spreadWithout, steer, type OwnSocket } from "../../../worker/listeners/linux-reuseport.ts"; // prettier-ignore

interface Member {
  listener: { stop(now?: boolean): void; port: number };
  socket: OwnSocket;
  accepted: number;
}

let members: Member[] = [];
afterEach(() => {
  for (const { listener } of members) listener.stop(true);
  members = [];
});

function join(hostname: string): Member {
  const port = members[0]?.listener.port ?? 0;
  const settings = { hostname, port, reusePort: true };
  const member: Member = {
    accepted: 0,
    ...openNoted(() =>
      Bun.listen({ ...settings, socket: { open: () => void member.accepted++, data: () => undefined } }),
    ),
  };
  members.push(member);
  return member;
}

const placesOf = (some: readonly Member[]) => some.map(({ socket }) => placeOf(socket, members.length));

async function visit(hostname: string, times: number): Promise<void> {
  const port = members[0]?.listener.port ?? 0;
  for (let visits = 0; visits < times; visits++) {
    const closed = Promise.withResolvers<void>();
    const socket = await Bun.connect({ hostname, port, socket: { data: () => undefined, close: () => closed.resolve() } }); // prettier-ignore
    socket.end();
    await closed.promise;
  }
}

describe.skipIf(!canSteer())("a listener's place", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.9", "127.0.0.9"],
    ["0.0.0.0", "127.0.0.1"],
    ["::1", "::1"],
    ["::", "::1"],
  ])("at %s is found, and is another one when one before it leaves", async (hostname, reached) => {
    const all = [join(hostname), join(hostname), join(hostname), join(hostname)];
    expect(placesOf(all)).toEqual([0, 1, 2, 3]);
    const [, second, , last] = all;
    second?.listener.stop(true);
    members = members.filter((member) => member !== second);
    // The last one stands where it stood.
    expect(placesOf(members)).toEqual([0, 2, 1]);
    expect(members.map(({ accepted }) => accepted)).toEqual([0, 0, 0]);
    if (last === undefined) throw new Error("no last one");
    steer(last.socket, 1);
    await visit(reached, 5);
    expect(last.accepted).toBe(5);
  });

  test("is left out, and the others share what comes; then all do", async () => {
    const all = [join("127.0.0.1"), join("127.0.0.1"), join("127.0.0.1")];
    const [, second] = all;
    if (second === undefined) throw new Error("no second one");
    expect(spreadWithout(second.socket, placeOf(second.socket, 3) ?? -1, 3)).toBe(true);
    await visit("127.0.0.1", 60);
    expect(second.accepted).toBe(0);
    expect(Math.min(all[0]?.accepted ?? 0, all[2]?.accepted ?? 0)).toBeGreaterThan(0);
    expect(spread(second.socket)).toBe(true);
    await visit("127.0.0.1", 60);
    expect(second.accepted).toBeGreaterThan(0);
  });

  test("is nowhere when it is closed, and not where too few are looked at", () => {
    const [first, second] = [join("127.0.0.1"), join("127.0.0.1")];
    expect(placeOf(second.socket, 1)).toBeNull();
    first.listener.stop(true);
    expect(placeOf(first.socket, 2)).toBeNull();
  });
});
