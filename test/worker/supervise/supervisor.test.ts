/** What the supervisor does with workers that serve, fail and end: processes are played. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../../shared/runtime/log.ts";
import { readOptions } from "../../../worker/supervise/options.ts";
import { startSupervisor, type Child } from "../../../worker/supervise/supervisor.ts";
import { until } from "../../support/until.ts";

/** A worker's process that does what the test says. */
class Played implements Child {
  readonly #ready = Promise.withResolvers<number>();
  readonly #exited = Promise.withResolvers<number>();
  readonly ready = this.#ready.promise;
  readonly exited = this.#exited.promise;
  readonly signals: string[] = [];
  readonly pid: number;

  constructor(pid: number) {
    this.pid = pid;
  }

  kill(signal: string): void {
    this.signals.push(signal);
  }

  async serves(): Promise<void> {
    this.#ready.resolve(20);
    await this.ready;
  }

  async ends(code: number): Promise<void> {
    this.#exited.resolve(code);
    await this.exited;
  }
}

function stage({ readyMs = 60_000 } = {}) {
  const children: Played[] = [];
  const set = { missing: false, predecessors: [] as (number | null)[] };
  const start = (predecessor: number | null) => {
    if (set.missing) throw new Error("ENOENT: no such file");
    set.predecessors.push(predecessor);
    const child = new Played(children.length + 1);
    children.push(child);
    return child;
  };
  const pause = { first: 10, most: 40 };
  const supervisor = startSupervisor({ start, log: silentLog(), readyMs, pause, graceMs: 30 });
  const child = (at: number): Played => {
    const found = children[at];
    if (found === undefined) throw new Error(`no child ${at}`);
    return found;
  };
  return { supervisor, children, child, set };
}

async function serving(settings?: { readyMs: number }) {
  const set = stage(settings);
  await set.child(0).serves();
  return set;
}

describe("a replacement", () => {
  test("asks the old worker to go when the new one serves, and not before", async () => {
    const { supervisor, children, child } = await serving();
    supervisor.replace();
    expect([children.length, child(0).signals]).toEqual([2, []]);
    await child(1).serves();
    expect([child(0).signals, child(1).signals]).toEqual([["SIGTERM"], []]);
  });

  test("that ends before it serves leaves the old one alone", async () => {
    const { supervisor, children, child } = await serving();
    supervisor.replace();
    await child(1).ends(1);
    supervisor.replace();
    await child(2).serves();
    expect([children.length, child(0).signals]).toEqual([3, ["SIGTERM"]]);
  });

  test("that does not serve in time is ended, and the old one goes on", async () => {
    const { supervisor, child } = await serving({ readyMs: 20 });
    supervisor.replace();
    await until(() => child(1).signals.length > 0);
    expect([child(0).signals, child(1).signals]).toEqual([[], ["SIGTERM"]]);
  });

  test("asked for during another comes when the old one has ended", async () => {
    const { supervisor, children, child } = await serving();
    supervisor.replace();
    supervisor.replace();
    await child(1).serves();
    supervisor.replace();
    expect(children.length).toBe(2);
    await child(0).ends(0);
    expect(children.length).toBe(3);
    await child(2).serves();
    expect(child(1).signals).toEqual(["SIGTERM"]);
    await child(1).ends(0);
    expect(children.length).toBe(3);
  });

  test("knows the process that it takes over from", async () => {
    const { supervisor, set } = await serving();
    supervisor.replace();
    expect(set.predecessors).toEqual([null, 1]);
  });

  test("that serves only after it was given up does not take over", async () => {
    const { supervisor, child } = await serving({ readyMs: 20 });
    supervisor.replace();
    await until(() => child(1).signals.length > 0);
    await child(1).serves();
    expect(child(0).signals).toEqual([]);
  });

  test("that can't be started leaves the old one alone, and the next one may be", async () => {
    const { supervisor, children, child, set } = await serving();
    set.missing = true;
    supervisor.replace();
    expect([children.length, child(0).signals]).toEqual([1, []]);
    set.missing = false;
    supervisor.replace();
    await child(1).serves();
    expect(child(0).signals).toEqual(["SIGTERM"]);
  });

  test("kills an old worker that takes much longer to go than it said", async () => {
    const { supervisor, child } = await serving();
    supervisor.replace();
    await child(1).serves();
    const since = performance.now();
    await until(() => child(0).signals.length === 2);
    expect(child(0).signals).toEqual(["SIGTERM", "SIGKILL"]);
    expect(performance.now() - since).toBeGreaterThan(20 + 30 - 2);
  });

  test("that was asked for during another comes also when the old one dies by itself", async () => {
    const { supervisor, children, child } = await serving();
    supervisor.replace();
    supervisor.replace();
    await child(0).ends(1);
    expect(children.length).toBe(2);
    await child(1).serves();
    expect(children.length).toBe(3);
  });

  test("goes on alone when the old one dies meanwhile", async () => {
    const { supervisor, children, child } = await serving();
    supervisor.replace();
    await child(0).ends(139);
    await child(1).serves();
    supervisor.replace();
    expect([children.length, child(1).signals]).toEqual([3, []]);
  });
});

describe("a worker that ends by itself", () => {
  test("is started again, after a pause that grows until one serves", async () => {
    const { children, child } = await serving();
    const pauses: number[] = [];
    for (let at = 0; at < 3; at++) {
      const since = performance.now();
      await child(at).ends(1);
      await until(() => children.length === at + 2);
      pauses.push(performance.now() - since);
    }
    // A timer may be a little early.
    expect(pauses.map((ms, at) => ms >= 10 * 2 ** at - 1)).toEqual([true, true, true]);
  });

  test("and can't be started again for a while, is when it can", async () => {
    const { children, child, set } = await serving();
    set.missing = true;
    await child(0).ends(1);
    await Bun.sleep(20);
    expect(children.length).toBe(1);
    set.missing = false;
    await until(() => children.length === 2);
  });

  test("before any has served, ends the supervisor with its code", async () => {
    const { supervisor, children, child } = stage();
    await child(0).ends(1);
    expect(await supervisor.done).toBe(1);
    expect(children.length).toBe(1);
  });
});

describe("a stop", () => {
  test("ends all workers, and is done when they have ended", async () => {
    const { supervisor, child } = await serving();
    supervisor.replace();
    supervisor.stop();
    expect([child(0).signals, child(1).signals]).toEqual([["SIGTERM"], ["SIGTERM"]]);
    await child(0).ends(0);
    await child(1).ends(0);
    expect(await supervisor.done).toBe(0);
  });

  test("lets a worker that leaves already have its time, and one that was given up", async () => {
    const { supervisor, child } = await serving({ readyMs: 20 });
    supervisor.replace();
    await child(1).serves();
    supervisor.stop();
    expect([child(0).signals, child(1).signals]).toEqual([["SIGTERM"], ["SIGTERM"]]);

    const other = await serving({ readyMs: 20 });
    other.supervisor.replace();
    await until(() => other.child(1).signals.length > 0);
    other.supervisor.stop();
    expect([other.child(0).signals, other.child(1).signals]).toEqual([["SIGTERM"], ["SIGTERM"]]);
  });

  test("asked for twice is done at once", async () => {
    const { supervisor, child } = await serving();
    supervisor.stop();
    supervisor.stop();
    expect(child(0).signals).toEqual(["SIGTERM", "SIGKILL"]);
  });

  test("is not said to have failed by a successor that has never served", async () => {
    const { supervisor, child } = await serving();
    supervisor.replace();
    supervisor.stop();
    await child(1).ends(143);
    await child(0).ends(0);
    expect(await supervisor.done).toBe(0);
  });

  test("tells of a worker that did not end well", async () => {
    const { supervisor, child } = await serving();
    supervisor.stop();
    await child(0).ends(1);
    expect(await supervisor.done).toBe(1);
  });

  test("while a dead worker waits to be started again starts none", async () => {
    const { supervisor, children, child } = await serving();
    await child(0).ends(1);
    supervisor.stop();
    supervisor.replace();
    expect(await supervisor.done).toBe(0);
    await Bun.sleep(20);
    expect(children.length).toBe(1);
  });
});

describe("the command line", () => {
  test.each([
    [[], { worker: "main.ts", readyMs: 60_000, args: [] }],
    [["--config", "w.toml", "--ready-within", "5"], { worker: "main.ts", readyMs: 5000, args: ["--config", "w.toml"] }],
    [["--worker=/opt/x.ts", "--check"], { worker: "/opt/x.ts", readyMs: 60_000, args: ["--check"] }],
    [["--config", "w.toml", "-h"], null],
  ])("%j", (argv, wanted) => {
    expect(readOptions(argv, "main.ts")).toEqual(wanted);
  });

  test.each([[["--ready-within", "soon"]], [["--ready-within=0"]], [["--worker"]]])("%j is refused", (argv) => {
    expect(() => readOptions(argv, "main.ts")).toThrow(/^--(ready-within|worker): ".*" was given; wanted a /);
  });
});
