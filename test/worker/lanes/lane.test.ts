/** What the processes of a worker say to each other: over their supervisor's line, and in the file of their listeners. */
import { describe, expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import { LaneInodes, openInodes } from "../../../worker/lanes/inodes.ts";
import { createLane, lanePlace, type Lane, type Line } from "../../../worker/lanes/lane.ts";
import { fromProcess, fromSupervisor, type ToProcess, type ToSupervisor } from "../../../worker/lanes/messages.ts";
import { createGathering } from "../../../worker/supervise/gathering.ts";
import { atEnd } from "../../support/at-end.ts";

/** A line whose other end the test holds. */
class Held implements Line {
  readonly sent: ToSupervisor[] = [];
  says: (message: unknown) => void = () => undefined;

  send(message: ToSupervisor): void {
    this.sent.push(message);
  }

  heard(act: (message: unknown) => void): void {
    this.says = act;
  }
}

describe("a process", () => {
  test.each([
    [undefined, null],
    ["", null],
    ["2", null],
    ["2/4", { number: 2, count: 4 }],
  ])("that is told %p is %p", (told, place) => expect(lanePlace({ APP_PROXY_LANE: told })).toEqual(place));

  test("tells its figures when it is asked, hears of others' ends, and asks to be replaced", async () => {
    const line = new Held();
    const lane = createLane({ number: 1, count: 2 }, line);
    lane.report(() => Promise.resolve([{ name: "mine" }]));
    let ends = 0;
    const unfollow = lane.onEnd(() => void ends++);
    line.says({ lane: "ended" });
    line.says({ lane: "report", id: 7 });
    line.says("what is this");
    unfollow();
    line.says({ lane: "ended" });
    await Bun.sleep(0);
    lane.replace();
    expect(line.sent).toEqual([{ lane: "reported", id: 7, figures: [{ name: "mine" }] }, { lane: "replace" }]);
    expect(ends).toBe(1);
  });
});

test("figures are gathered from all that say something in time", async () => {
  const lanes = new Map<number, { lane: Lane; line: Held }>();
  const told: [number, ToProcess][] = [];
  const gathering = createGathering((pid, message) => {
    told.push([pid, message]);
    lanes.get(pid)?.line.says(message);
    for (const { line } of lanes.values())
      for (const said of line.sent.splice(0)) if (said.lane === "reported") gathering.reported(said.id, said.figures);
  });
  for (const number of [1, 2]) {
    const line = new Held();
    const lane = createLane({ number, count: 3 }, line);
    lanes.set(number, { lane, line });
    line.send = (message) => {
      if (message.lane === "reported") gathering.reported(message.id, message.figures);
      if (message.lane === "gather")
        void gathering.gather([1, 2, 3]).then((all) => line.says({ lane: "figures", id: message.id, all }));
    };
    lane.report(() => Promise.resolve([{ name: `of ${number}` }]));
  }
  // The third one is not there.
  expect(await lanes.get(2)?.lane.gather()).toEqual([[{ name: "of 1" }], [{ name: "of 2" }]]);
  expect(told.map(([pid]) => pid)).toEqual([1, 2, 3]);
});

test("nobody answers: a process gathers nothing, after a while", async () => {
  expect(await createLane({ number: 1, count: 2 }, new Held()).gather()).toBeNull();
});

test.each([
  [null, null, null],
  [{ ready: true, stop_ms: 5 }, null, null],
  [{ lane: "gather" }, null, null],
  [{ lane: "gather", id: 1, more: 2 }, { lane: "gather", id: 1 }, null],
  [{ lane: "reported", id: 1, figures: "none" }, null, null],
  [{ lane: "replace" }, { lane: "replace" }, null],
  [{ lane: "ended" }, null, { lane: "ended" }],
  [{ lane: "report", id: 2 }, null, { lane: "report", id: 2 }],
  [{ lane: "figures", id: 2, all: [[], 1] }, null, null],
  [{ lane: "figures", id: 2, all: [[]] }, null, { lane: "figures", id: 2, all: [[]] }],
])("%j is, from a process, %j, and from a supervisor %j", (message, ofProcess, ofSupervisor) => {
  expect(fromProcess(message)).toEqual(ofProcess as never);
  expect(fromSupervisor(message)).toEqual(ofSupervisor as never);
});

describe("the listeners that processes have noted", () => {
  test("are known to all that have the file, also those that come later, and no others", () => {
    const fd = openInodes();
    atEnd(() => closeSync(fd));
    const [one, other] = [new LaneInodes(fd), new LaneInodes(fd)];
    one.note(4_000_000_001);
    expect([one.has(4_000_000_001), other.has(4_000_000_001), other.has(5)]).toEqual([true, true, false]);
    other.note(5);
    expect([one.has(5), new LaneInodes(fd).has(5), new LaneInodes(fd).has(4_000_000_001)]).toEqual([true, true, true]);
  });

  test("are read as far as they are written", () => {
    const fd = openInodes();
    atEnd(() => closeSync(fd));
    const inodes = new LaneInodes(fd);
    writeSync(fd, Buffer.from([7, 0]));
    expect(inodes.has(7)).toBe(false);
    writeSync(fd, Buffer.from([0, 0]));
    expect(inodes.has(7)).toBe(true);
  });

  test("are forgotten when very many have come since", () => {
    const fd = openInodes();
    atEnd(() => closeSync(fd));
    const inodes = new LaneInodes(fd);
    inodes.note(1);
    expect(inodes.has(1)).toBe(true);
    const many = new Uint32Array(100_000).map((_, at) => at + 10);
    writeSync(fd, Buffer.from(many.buffer));
    expect([inodes.has(100_009), inodes.has(1), new LaneInodes(fd).has(1)]).toEqual([true, false, false]);
  });
});
