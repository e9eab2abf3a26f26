/**
 * WebSockets through a worker against WebSockets without one: the same peers, the same cases of Autobahn's, both ways in. What
 * a worker with an engine that passes frames may change of it is nothing; an engine that makes them anew may fail no case.
 */
import { startStage, type Stage } from "../contract/stage.ts";
import { framesOf } from "../contract/engines.ts";
import type { Shape } from "../contract/shapes.ts";
import { startEchoServer } from "./echo.ts";
import type { Verdict, Verdicts, Wstest } from "./wstest.ts";

/** Which end the fuzzer plays; the other is an echo. */
export const SIDES = ["client", "server"] as const;
export type Side = (typeof SIDES)[number];

export interface Comparison {
  direct: Verdicts;
  through: Verdicts;
  /** Cases that went another way than they may, with what was seen. */
  faults: string[];
}

/**
 * How often a case is tried that went wrong: many wait for a second, and on a busy machine that is short. It can only make a
 * verdict worse, with a worker and without one, so the best of each counts.
 */
const TRIES = 5;

/** A place for comparisons: a worker with this engine as a process of its own. */
export class Conformance {
  readonly #wstest: Wstest;
  readonly #stage: Stage;

  static async start(wstest: Wstest, engine: Shape["engine"]): Promise<Conformance> {
    return new Conformance(wstest, await startStage({ engine, frontend: "port", place: "spawned" }));
  }

  private constructor(wstest: Wstest, stage: Stage) {
    this.#wstest = wstest;
    this.#stage = stage;
  }

  /** Both ways at once; what was seen without a worker counts for each engine's. What went wrong is tried again, alone. */
  async compare(side: Side, cases: readonly string[]): Promise<Comparison> {
    const asked = `${side} ${cases.join()}`;
    const [direct, through] = [new Map(seenDirectly.get(asked)), new Map<string, Verdict>()];
    let faults: [id: string, what: string][] = [];
    let left = cases;
    for (let attempt = 0; attempt < TRIES && left.length > 0; attempt++) {
      const isKnown = attempt === 0 && direct.size > 0;
      const [one, other] = await Promise.all([
        isKnown ? direct : this.#try(side, left, false),
        this.#try(side, left, true),
      ]);
      for (const [id, verdict] of one) direct.set(id, better(verdict, direct.get(id)));
      for (const [id, verdict] of other) through.set(id, better(verdict, through.get(id)));
      faults = faultsOf(framesOf(this.#stage.shape.engine) === "passed", direct, through);
      left = faults.map(([id]) => id);
    }
    seenDirectly.set(asked, direct);
    return { direct, through, faults: faults.map(([id, what]) => `${id}: ${what}`) };
  }

  stop(): Promise<void> {
    return this.#stage.stop();
  }

  // --- internal ---

  async #try(side: Side, cases: readonly string[], isThrough: boolean): Promise<Verdicts> {
    const way = async (port: number) => (isThrough ? this.#through(port) : `ws://127.0.0.1:${port}/`);
    if (side === "server") return this.#wstest.tryClient(way, cases);
    const echo = startEchoServer();
    try {
      return await this.#wstest.tryServer(await way(echo.port), cases);
    } finally {
      await echo.stop();
    }
  }

  async #through(port: number): Promise<string> {
    return (await this.#stage.open({ upstream: port, public: true })).url("/").replace("http:", "ws:");
  }
}

/** What is wrong with the cases through the worker: failures, and with `isEqual` whatever goes another way than directly. */
export function faultsOf(isEqual: boolean, direct: Verdicts, through: Verdicts): [id: string, what: string][] {
  return [...direct].flatMap(([id, directly]): [string, string][] => {
    const verdict = through.get(id);
    if (verdict === undefined) return [[id, "was not tried through the worker"]];
    const [seen, wanted] = [tell(verdict), tell(directly)];
    return hasFailed(verdict) || (isEqual && seen !== wanted) ? [[id, `${seen}, directly ${wanted}`]] : [];
  });
}

/** Of two verdicts on one case. */
export function better(one: Verdict, other: Verdict | undefined): Verdict {
  return other === undefined || rank(one) < rank(other) ? one : other;
}

// --- internal ---

/** By side and cases. */
const seenDirectly = new Map<string, Verdicts>();

/** From the best on; what is in neither list is a failure. */
const BEHAVIORS = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED"];
const CLOSES = ["OK", "INFORMATIONAL"];

function rank({ behavior, behaviorClose }: Verdict): number {
  const of = (list: readonly string[], what: string) => (list.includes(what) ? list.indexOf(what) : list.length);
  return of(CLOSES, behaviorClose) * (BEHAVIORS.length + 1) + of(BEHAVIORS, behavior);
}

/** What is neither fine nor a matter of taste; `UNIMPLEMENTED` are compressions that nobody has agreed to. */
function hasFailed({ behavior, behaviorClose }: Verdict): boolean {
  return !BEHAVIORS.includes(behavior) || !CLOSES.includes(behaviorClose);
}

function tell({ behavior, behaviorClose }: Verdict): string {
  return behaviorClose === "OK" ? behavior : `${behavior}, closed ${behaviorClose}`;
}
