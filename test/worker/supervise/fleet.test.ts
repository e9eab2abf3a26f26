/** Several processes side by side: when each is started and replaced, and when all is over. The processes are played. */
import { beforeEach, describe, expect, test } from "bun:test";
import { silentLog } from "../../../shared/runtime/log.ts";
import { startFleet, type Fleet } from "../../../worker/supervise/fleet.ts";
import { startSupervisor, type Child } from "../../../worker/supervise/supervisor.ts";
import { until } from "../../support/until.ts";

/** A process that does what the test says. */
class Played implements Child {
  readonly #ready = Promise.withResolvers<number>();
  readonly #exited = Promise.withResolvers<number>();
  readonly ready = this.#ready.promise;
  readonly exited = this.#exited.promise;
  readonly signals: string[] = [];
  readonly number: number;
  readonly pid: number;
  readonly predecessor: number | null;

  constructor(number: number, pid: number, predecessor: number | null) {
    [this.number, this.pid, this.predecessor] = [number, pid, predecessor];
  }

  kill(signal: string): void {
    this.signals.push(signal);
  }

  serves(): void {
    this.#ready.resolve(20);
  }

  ends(code = 0): void {
    this.#exited.resolve(code);
  }
}

let processes: Played[];
let fleet: Fleet;

beforeEach(() => begin(1));

/** `pause`: before one that has died is started again. Milliseconds. */
function begin(pause: number): void {
  processes = [];
  fleet = startFleet({
    count: 3,
    log: silentLog(),
    supervise: (number, hasServed) =>
      startSupervisor({
        start: (predecessor) => {
          const played = new Played(number, 100 + processes.length, predecessor);
          processes.push(played);
          return played;
        },
        log: silentLog(),
        readyMs: 60_000,
        pause: { first: pause, most: pause },
        hasServed,
      }),
  });
}

const numbers = () => processes.map(({ number }) => number);
const of = (at: number) => processes[at] ?? new Played(0, 0, null);
const become = (wanted: number[]) =>
  until(() => numbers().join() === wanted.join(), 5000, `processes ${wanted.join()}`);

async function allServe(): Promise<void> {
  of(0).serves();
  await become([1, 2, 3]);
  of(1).serves();
  of(2).serves();
  await until(() => fleet.serving().length === 3);
}

/** The process at `at` has come for the one at `old`: it serves, and the old one goes. */
async function takesOver(at: number, old: number): Promise<void> {
  expect(of(at).predecessor).toBe(of(old).pid);
  of(at).serves();
  await until(() => of(old).signals.includes("SIGTERM"));
  of(old).ends();
}

test("the first one is started alone, and the others when it serves", async () => {
  await Bun.sleep(0);
  expect(numbers()).toEqual([1]);
  expect(fleet.serving()).toEqual([]);
  await allServe();
  expect(fleet.serving()).toEqual([100, 101, 102]);
});

test("the first one that ends before it has served ends all: what can't be started is for the operator", async () => {
  of(0).ends(1);
  expect(await fleet.done).toBe(1);
  expect(numbers()).toEqual([1]);
});

test("another one that ends before it has served is started again", async () => {
  of(0).serves();
  await become([1, 2, 3]);
  of(1).ends(1);
  await become([1, 2, 3, 2]);
  expect(of(3).predecessor).toBeNull();
});

describe("a reload", () => {
  test("replaces one after the other: the next is begun when the old one has ended", async () => {
    await allServe();
    fleet.replace();
    await become([1, 2, 3, 1]);
    of(3).serves();
    await until(() => of(0).signals.length > 0);
    await Bun.sleep(5);
    expect(numbers()).toEqual([1, 2, 3, 1]);
    of(0).ends();
    await become([1, 2, 3, 1, 2]);
    await takesOver(4, 1);
    await become([1, 2, 3, 1, 2, 3]);
    await takesOver(5, 2);
    await until(() => fleet.serving().join() === "103,104,105");
  });

  test("whose new process does not serve leaves the others as they are; a later one begins anew", async () => {
    await allServe();
    fleet.replace();
    await become([1, 2, 3, 1]);
    of(3).ends(1);
    await Bun.sleep(5);
    expect(numbers()).toEqual([1, 2, 3, 1]);
    expect(fleet.serving()).toEqual([100, 101, 102]);
    fleet.replace();
    await become([1, 2, 3, 1, 1]);
  });

  test("that is asked for during one is done after it; one process alone waits its turn", async () => {
    await allServe();
    fleet.replaceOne(3);
    await become([1, 2, 3, 3]);
    fleet.replaceOne(2);
    fleet.replaceOne(2);
    await takesOver(3, 2);
    await become([1, 2, 3, 3, 2]);
    await takesOver(4, 1);
    await until(() => fleet.serving().join() === "100,104,103");
    await Bun.sleep(5);
    expect(numbers()).toEqual([1, 2, 3, 3, 2]);
  });

  test("passes over one that has died and waits to be started again", async () => {
    begin(600_000);
    await allServe();
    of(0).ends(1);
    await until(() => fleet.serving().length === 2);
    fleet.replace();
    await become([1, 2, 3, 2]);
    await takesOver(3, 1);
    await become([1, 2, 3, 2, 3]);
  });
});

describe("a stop", () => {
  test("ends all, and gives the worst exit code", async () => {
    await allServe();
    fleet.stop();
    expect(processes.map(({ signals }) => signals)).toEqual([["SIGTERM"], ["SIGTERM"], ["SIGTERM"]]);
    of(0).ends();
    of(1).ends(3);
    of(2).ends();
    expect(await fleet.done).toBe(3);
  });

  test("before the first one serves starts no others", async () => {
    fleet.stop();
    of(0).serves();
    of(0).ends();
    expect(await fleet.done).toBe(0);
    expect(numbers()).toEqual([1]);
  });

  test("during a reload replaces no more", async () => {
    await allServe();
    fleet.replace();
    await become([1, 2, 3, 1]);
    fleet.stop();
    for (const one of processes) one.ends();
    expect(await fleet.done).toBe(0);
    expect(numbers()).toEqual([1, 2, 3, 1]);
  });
});
