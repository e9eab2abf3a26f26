/** Who has a place, who makes way, and who is turned away. */
import { expect, test } from "bun:test";
import { pino } from "pino";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { Connections, networkOf, type Place, type Spare } from "../../../worker/net/connections.ts";
import { Crowding } from "../../../shared/net/crowding.ts";
import { until } from "../../support/until.ts";

interface Limits {
  connections?: number;
  ofAddress?: number;
  files?: number;
}

function roomFor({ connections = 100, ofAddress = 100, files = 1000 }: Limits, overMs?: number) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const crowding = new Crowding(log, overMs);
  const isExempt = addressMatcher(["10.9.0.0/16"]);
  const room = new Connections({ connections, ofAddress, files, isExempt, crowding });
  const ended: string[] = [];
  /** As an engine does: who is ended leaves. */
  const enter = (name: string, address = name): Place => {
    const place = room.enter(() => {
      ended.push(name);
      place.leave();
    });
    place.from(address);
    return place;
  };
  /** A connection to an app that nobody uses; null when there is no room. */
  const spare = (name: string) => room.spare(() => void ended.push(name));
  return { room, crowding, ended, enter, spare, lines };
}

test("the longest idle client makes way for a new one", () => {
  const { room, ended, enter } = roomFor({ connections: 3 });
  const [a, b] = [enter("a"), enter("b"), enter("c")];
  a.busy();
  a.idle();
  // Now b has been idle for longest; it is in use when the next one comes.
  b.busy();
  enter("d");
  expect(ended).toEqual(["c"]);
  enter("e");
  expect(ended).toEqual(["c", "a"]);
  expect(room.clients).toBe(3);
});

test("one that is in use never makes way: who comes is turned away, and has a place as soon as there is one", () => {
  const { room, ended, enter, crowding } = roomFor({ connections: 2 });
  const [a, b] = [enter("a"), enter("b")];
  a.busy();
  b.busy();
  const c = enter("c");
  expect([c.full, room.clients, ended]).toEqual(["worker", 2, []]);
  // What it says of itself changes nothing for the others.
  c.busy();
  c.idle();
  c.leave();
  expect(room.clients).toBe(2);
  a.leave();
  a.leave();
  expect([enter("d").full, room.clients]).toEqual([null, 2]);
  expect(crowding.refused).toEqual({ worker: 1, address: 0, circuit: 0, session: 0, user: 0 });
});

test("of those that are turned away there are 32 at once, and the oldest goes", () => {
  const { ended, enter } = roomFor({ connections: 1 });
  enter("a").busy();
  for (let at = 0; at < 40; at++) enter(`b${at}`);
  expect(ended).toEqual(Array.from({ length: 8 }, (_, at) => `b${at}`));
});

test("an address has its own limit: its longest idle client makes way, and when all are in use it is turned away", () => {
  const { room, ended, enter, crowding } = roomFor({ ofAddress: 2 });
  const [a, b] = [enter("a", "10.0.0.1"), enter("b", "10.0.0.1")];
  a.busy();
  const c = enter("c", "10.0.0.1");
  expect(ended).toEqual(["b"]);
  c.busy();
  expect(enter("d", "10.0.0.1").full).toBe("address");
  expect(enter("e", "10.0.0.2").full).toBe(null);
  expect([room.clients, crowding.refused.address, crowding.closed.client]).toEqual([3, 1, 1]);
  a.leave();
  b.leave();
  expect(enter("f", "10.0.0.1").full).toBe(null);
});

test("an address that has left is forgotten, and one that had a limit of one too", () => {
  const { ended, enter } = roomFor({ ofAddress: 1 });
  for (const name of ["a", "b", "c"]) enter(name, "10.0.0.1");
  expect(ended).toEqual(["a", "b"]);
});

test("whoever comes through a trusted proxy, or has left before anybody knew who it was, has no address", () => {
  const { enter } = roomFor({ ofAddress: 1 });
  for (const address of ["10.9.1.1", "10.9.1.1", "::ffff:10.9.1.1", "", ""]) {
    const place = enter("one", address);
    place.busy();
    expect(place.full).toBe(null);
  }
});

test("an address is one in every form, and an IPv6 /64 is one", () => {
  expect(["10.0.0.1", "::ffff:10.0.0.1", "::ffff:a00:1"].map(networkOf)).toEqual(Array(3).fill("10.0.0.1"));
  expect(["2001:db8::1", "2001:db8:0:0:ffff::2"].map(networkOf)).toEqual(Array(2).fill("2001:db8:0:0::/64"));
  expect(["2001:db8:0:1::1", "fe80::1%eth0", "::1", "none:"].map(networkOf)).toEqual([
    "2001:db8:0:1::/64",
    "fe80:0:0:0::/64",
    "0:0:0:0::/64",
    "none:",
  ]);
});

test("an idle client has one file, one in use two, and each may need its second one at any time", () => {
  const { room, ended, enter } = roomFor({ files: 5 });
  const [a, b] = [enter("a"), enter("b")];
  expect(room.files).toBe(2);
  a.busy();
  a.busy();
  b.busy();
  expect([room.files, enter("c").full]).toEqual([4, "worker"]);
  b.idle();
  b.idle();
  expect(room.files).toBe(3);
  enter("d");
  expect([ended, room.files]).toEqual([["b"], 3]);
});

test("kept connections to apps have what is left, and make way first, the oldest of them", () => {
  const { room, ended, enter, spare, crowding } = roomFor({ files: 6 });
  const a = enter("a");
  for (const name of ["s1", "s2", "s3", "s4", "s5"]) spare(name);
  expect([spare("s6") === null, room.files]).toEqual([false, 6]);
  expect(ended).toEqual(["s1"]);
  a.busy();
  expect(ended).toEqual(["s1", "s2"]);
  enter("b").busy();
  expect([ended, room.files]).toEqual([["s1", "s2", "s3", "s4"], 6]);
  enter("c").busy();
  expect([ended.length, room.files, spare("s7")]).toEqual([6, 6, null]);
  expect(crowding.closed).toEqual({ client: 0, app: 6 });
});

test("a kept connection that is used again counts as its client's", () => {
  const { room, enter, spare } = roomFor({ files: 4 });
  const a = enter("a");
  const kept = spare("s");
  a.busy();
  kept?.leave();
  kept?.leave();
  expect(room.files).toBe(2);
});

test("dialling that was given up counts until the system has given it up", () => {
  const { room, ended, enter } = roomFor({ files: 4 });
  const a = enter("a");
  a.busy();
  enter("b");
  const over = room.givenUp();
  expect([ended, room.files, enter("c").full]).toEqual([["b"], 3, "worker"]);
  over();
  expect(enter("d").full).toBe(null);
});

test("it is told once when it begins and once when it is over, with what was done meanwhile", async () => {
  const { enter, lines } = roomFor({ connections: 2, ofAddress: 1000 }, 20);
  enter("a").busy();
  for (let at = 0; at < 50; at++) enter("b");
  enter("c").busy();
  enter("d");
  await until(() => lines.length === 2);
  expect(lines).toMatchObject([
    { level: 40, full: "worker", clients: 2, most: 2, refused: false },
    { level: 30, msg: "there is room for connections again", closed: 50, refused: 1 },
  ]);
  enter("e");
  expect(lines.length).toBe(3);
});

test("of an address that is full, its own figures are told", () => {
  const { enter, lines } = roomFor({ connections: 20, ofAddress: 2 });
  for (let at = 0; at < 3; at++) enter("a").busy();
  enter("b");
  expect(lines).toMatchObject([{ full: "address", address: "a", clients: 2, most: 2, refused: true }]);
});

test("whatever comes, the figures are those of what is there", () => {
  const { room, enter, spare } = roomFor({ connections: 20, ofAddress: 7, files: 50 });
  const places = new Map<Place, "idle" | "busy">();
  const spares = new Set<Spare>();
  const alive = () => [...places].filter(([place]) => place.link.queue !== null || places.get(place) === "busy");
  for (let step = 0; step < 2000; step++) {
    const what = Math.random();
    const some = [...places.keys()][Math.floor(Math.random() * places.size)];
    if (what < 0.4 || some === undefined) {
      const place = enter("x", `10.0.0.${Math.floor(Math.random() * 5)}`);
      if (place.full === null) places.set(place, "idle");
    } else if (what < 0.55) {
      some.busy();
      if (some.link.queue === null) places.set(some, "busy");
    } else if (what < 0.7) {
      some.idle();
      places.set(some, "idle");
    } else if (what < 0.8) {
      some.leave();
      places.delete(some);
    } else if (what < 0.9) {
      const one = spare("s");
      if (one !== null) spares.add(one);
    } else {
      for (const one of spares) one.leave();
      spares.clear();
    }
    // Who was ended is idle in our book and in no queue.
    for (const [place, state] of places) if (state === "idle" && place.link.queue === null) places.delete(place);
    const kept = [...spares].filter(({ link }) => link.queue !== null).length;
    const busy = alive().filter(([, state]) => state === "busy").length;
    expect([room.clients, room.files]).toEqual([places.size, places.size + busy + kept]);
    expect(room.clients).toBeLessThanOrEqual(20);
    expect(room.files).toBeLessThanOrEqual(50);
  }
});
