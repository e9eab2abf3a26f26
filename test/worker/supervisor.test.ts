/** What the supervisor does with workers that serve, fail and end: processes are played. */
import { describe, expect, test } from "bun:test";
import { silentLog } from "../../shared/log.ts";
import { readOptions } from "../../worker/supervise-options.ts";
import { startSupervisor, type Child } from "../../worker/supervisor.ts";
import { until } from "../support/until.ts";

/** A worker's process that does what the test says. */
class Played implements Child {
  readonly #ready = Promise.withResolvers<void>();
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
    this.#ready.resolve();
    await this.ready;
  }

  async ends(code: number): Promise<void> {
    this.#exited.resolve(code);
    await this.exited;
  }
}

function stage({ readyMs = 60_000 } = {}) {
  const children: Played[] = [];
  const start = () => {
    const child = new Played(children.length + 1);
    children.push(child);
    return child;
  };
  const pause = { first: 10, most: 40 };
  const supervisor = startSupervisor({ start, log: silentLog(), readyMs, pause });
  const child = (at: number): Played => {
    const found = children[at];
    if (found === undefined) throw new Error(`no child ${at}`);
    return found;
  };
  return { supervisor, children, child };
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
