/** Registers tests of the contract's lines, each named by its line; what an engine can't do is skipped by name. */
import { afterAll, beforeAll, test } from "bun:test";
import { deviationOf, framesOf, type DeviationName, type Frames } from "./engines.ts";
import { shapeName, type Line, type Shape, type StageOptions } from "./shapes.ts";
import { startStage, type Stage } from "./stage.ts";
import { stopUpstreams } from "./upstreams.ts";
import { closeWires } from "./wire.ts";

interface LineOptions {
  /** Only for engines that make a WebSocket's frames anew, or that pass them as they came. */
  frames?: Frames;
  /** This engine can't do it. */
  deviation?: DeviationName;
  /** Limit of time in milliseconds. */
  ms?: number;
}

/** Gives the function that registers tests for a shape. */
export function linesOf({ engine }: Shape) {
  return (
    line: Line,
    sentence: string,
    work: () => Promise<void> | void,
    { frames, deviation, ms = 60_000 }: LineOptions = {},
  ) => {
    if (frames !== undefined && frames !== framesOf(engine)) return;
    const name = `${line} ${sentence}`;
    const broken = deviation === undefined ? undefined : deviationOf(engine, deviation);
    if (broken === undefined) return test(name, work, ms);
    // `CONTRACT_DEVIATIONS=check` runs them to see that each really fails: one that passes is none any more.
    if (process.env["CONTRACT_DEVIATIONS"] === "check") return test.failing(name, work, ms);
    test.skip(`${name} (${engine}: ${deviation}: ${broken.reason})`, work);
  };
}

/** A stage for the tests of the surrounding describe block; call what it gives inside tests. */
export function useStage(shape: Shape, options: StageOptions = {}): () => Stage {
  let stage: Stage | null = null;
  beforeAll(async () => {
    stage = await startStage(shape, options);
  });
  afterAll(async () => {
    closeWires();
    stopUpstreams();
    await stage?.stop();
  });
  return () => {
    if (stage === null) throw new Error(`the stage (${shapeName(shape)}) has not started`);
    return stage;
  };
}
