/**
 * Lines that wait for the clock: silences, limits of seconds, what is written once a second. They run side by side, in
 * all shapes at once, from the start of their file; each test waits for its own.
 */
import { afterAll, beforeAll, describe } from "bun:test";
import { framesOf, type DeviationName, type Frames } from "./engines.ts";
import { linesOf } from "./line.ts";
import { SHAPES, shapeName, type Line, type Shape, type StageOptions } from "./shapes.ts";
import { startStage, type Stage } from "./stage.ts";
import { stopUpstreams } from "./upstreams.ts";
import { closeWires } from "./wire.ts";

export interface SlowLine {
  line: Line;
  sentence: string;
  /** A stage of its own with these options; without them it shares one with the others of its shape. */
  options?: StageOptions;
  /** False for shapes in which it can't be. */
  in?: (shape: Shape) => boolean;
  frames?: Frames;
  deviation?: DeviationName;
  work: (stage: Stage) => Promise<void>;
}

/** All run at once: on a busy machine each waits for the others too. */
const LIMIT_MS = 5 * 60_000;

/** Registers the tests for every shape. */
export function slowLines(lines: SlowLine[]): void {
  const stages: Promise<Stage>[] = [];
  const outcomes = new Map<Shape, Map<SlowLine, Promise<unknown>>>();

  function start(shape: Shape, options: StageOptions): Promise<Stage> {
    const stage = startStage(shape, options);
    stages.push(stage);
    return stage;
  }

  function begin(shape: Shape): Map<SlowLine, Promise<unknown>> {
    const shared = start(shape, { redis: true });
    const run = async ({ options, work }: SlowLine) =>
      work(await (options === undefined ? shared : start(shape, options)));
    // Kept until its test asks for it.
    return new Map(linesIn(shape, lines).map((one) => [one, run(one).then(() => null, fault)]));
  }

  beforeAll(() => {
    for (const shape of SHAPES) outcomes.set(shape, begin(shape));
  });

  afterAll(async () => {
    const started = await Promise.allSettled(stages);
    closeWires();
    stopUpstreams();
    await Promise.all(started.flatMap((one) => (one.status === "fulfilled" ? [one.value.stop()] : [])));
  }, LIMIT_MS);

  for (const shape of SHAPES)
    describe(shapeName(shape), () => {
      const line = linesOf(shape);
      for (const one of linesIn(shape, lines))
        line(one.line, one.sentence, async () => {
          const failed = await outcomes.get(shape)?.get(one);
          if (failed !== null) throw failed;
        }, { ms: LIMIT_MS, ...(one.deviation === undefined ? {} : { deviation: one.deviation }) }); // prettier-ignore
    });
}

// --- internal ---

function linesIn(shape: Shape, lines: SlowLine[]): SlowLine[] {
  return lines.filter(
    (one) => one.in?.(shape) !== false && (one.frames === undefined || one.frames === framesOf(shape.engine)),
  );
}

function fault(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
