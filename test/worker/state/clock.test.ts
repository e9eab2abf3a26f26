/** The coordinator's time out of its `Date` headers: bounds that narrow, clocks that are set, and what is said of it. */
import { describe, expect, test } from "bun:test";
import pino from "pino";
import { createClock, type Clock } from "../../../worker/state/clock.ts";

const START = 1_787_000_000_000;

/** A machine whose clock is `ahead` of the coordinator's by so many milliseconds. */
class Machine {
  ahead: number;
  /** The coordinator's time. */
  theirs = START;
  steady = 5000;
  readonly lines: Record<string, unknown>[] = [];
  readonly clock: Clock;

  constructor(ahead: number) {
    this.ahead = ahead;
    this.clock = createClock({
      own: () => this.theirs + this.ahead,
      steady: () => this.steady,
      log: pino({}, { write: (line) => void this.lines.push(JSON.parse(line) as Record<string, unknown>) }),
    });
  }

  pass(ms: number): void {
    this.theirs += ms;
    this.steady += ms;
  }

  /** Asks: the answer is made after `there`, its `Date` is `old` by then, and it comes after `back` more. */
  ask({ there = 1, back = 1, old = 0 } = {}): void {
    const sent = this.steady;
    this.pass(there);
    const date = Math.floor((this.theirs - old) / 1000) * 1000;
    this.pass(back);
    this.clock.heard({ date, sent, received: this.steady });
  }

  /** What it takes for the coordinator's time is wrong by so much. */
  get error(): number {
    return Math.abs(this.clock.now() - this.theirs);
  }
}

describe("the clock", () => {
  test("is this machine's while nothing is known", () => {
    const machine = new Machine(90_000);
    expect(machine.clock.now()).toBe(machine.theirs + 90_000);
    expect([machine.clock.state(), machine.clock.skew()]).toEqual(["unknown", null]);
  });

  test("stays this machine's where Date's seconds leave room for that", () => {
    const machine = new Machine(400);
    for (let look = 0; look < 50; look++) {
      machine.ask({ old: (look * 137) % 1000 });
      machine.pass(2500);
    }
    expect(machine.error).toBe(400);
    expect([machine.clock.state(), machine.clock.skew()]).toEqual(["right", 0]);
    expect(machine.lines).toEqual([]);
  });

  test.each([90_000, -90_000, 3_000_000, -3_000_000, 3000])("of a machine %d ms ahead is set right", (ahead) => {
    const machine = new Machine(ahead);
    machine.ask();
    expect(machine.error).toBeLessThan(1100);
    for (let look = 0; look < 20; look++) {
      machine.pass(2531);
      machine.ask({ there: look % 3 === 0 ? 4000 : 2, back: look % 4 === 0 ? 3000 : 2, old: (look * 173) % 1000 });
    }
    // Slow answers say little, and take nothing away from what the quick ones said.
    expect(machine.error).toBeLessThan(700);
    expect(machine.clock.state()).toBe("corrected");
  });

  test("does not follow this machine's when that is set, between two looks", () => {
    const machine = new Machine(0);
    machine.ask();
    machine.ahead = -1_200_000;
    expect(machine.error).toBeLessThan(1100);
    expect(machine.clock.state()).toBe("corrected");
    machine.ahead = 0;
    expect(machine.error).toBe(0);
  });

  test("follows the coordinator's when that is set", () => {
    const machine = new Machine(0);
    machine.ask();
    machine.theirs += 600_000;
    machine.ahead = -600_000;
    machine.ask();
    expect(machine.error).toBeLessThan(1100);
    expect(machine.clock.skew()).toBeCloseTo(-600, -1);
  });

  test("drifts for a day without being sure of what it can't know", () => {
    const machine = new Machine(0);
    machine.ask();
    machine.pass(24 * 3600 * 1000);
    machine.ahead = 20_000;
    expect(machine.clock.state()).toBe("right");
    machine.ask();
    expect(machine.clock.state()).toBe("corrected");
    expect(machine.error).toBeLessThan(1100);
  });

  test.each([7_200_000, -7_200_000])("of a machine %d ms ahead is left as it is", (ahead) => {
    const machine = new Machine(ahead);
    machine.ask();
    expect(machine.error).toBe(7_200_000);
    expect(machine.clock.state()).toBe("wrong");
    expect(machine.lines.map(({ level, msg }) => [level, String(msg).includes("not corrected")])).toEqual([[50, true]]);
  });

  test("says once that it differs, and once that it does not any more", () => {
    const machine = new Machine(90_000);
    for (let look = 0; look < 40; look++) {
      machine.ask({ old: (look * 7) % 1000 });
      machine.pass(2500);
    }
    machine.ahead = 0;
    for (let look = 0; look < 40; look++) {
      machine.ask({ old: (look * 7) % 1000 });
      machine.pass(2500);
    }
    expect(machine.lines.map(({ msg }) => msg)).toEqual([
      "this machine's clock differs from the coordinator's; corrected for",
      "this machine's clock agrees with the coordinator's again",
    ]);
  });

  test("says little where two coordinators behind one address differ", () => {
    const machine = new Machine(0);
    for (let look = 0; look < 48; look++) {
      const sent = machine.steady;
      machine.pass(2);
      const date = Math.floor((machine.theirs + (look % 2) * 60_000) / 1000) * 1000;
      machine.clock.heard({ date, sent, received: machine.steady });
      machine.pass(2500);
    }
    // Two minutes.
    expect(machine.lines.length).toBeLessThan(4);
  });
});
