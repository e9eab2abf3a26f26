/**
 * Framing under attack: what is no message reaches no app, and never hides one; what is one arrives as exactly that. Hostile
 * answers reach their client whole, or visibly broken, and nobody else. Both engines; `Bun.serve` deviates only by name.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { useStage } from "../contract/line.ts";
import type { Shape } from "../contract/shapes.ts";
import { BODIES } from "./framing/answers/bodies.ts";
import { HEADS } from "./framing/answers/heads.ts";
import { startAnswerPlayer, type AnswerPlayer } from "./framing/play-answers.ts";
import { startPlayer, type Player } from "./framing/play-requests.ts";
import { REQUESTS } from "./framing/requests/all.ts";

const ENGINES: Shape["engine"][] = ["serve", "sockets"];
const ANSWERS = [...HEADS, ...BODIES];
const shapeOf = (engine: Shape["engine"]): Shape => ({ engine, frontend: "port", place: "in process" });

test("the tables are as long as they are said to be, and name each row once", () => {
  expect(REQUESTS.length).toBeGreaterThanOrEqual(300);
  expect(ANSWERS.length).toBeGreaterThanOrEqual(100);
  for (const rows of [REQUESTS, ANSWERS]) expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
});

describe.each(ENGINES)("requests through %s", (engine) => {
  // What never ends is refused soon.
  const stage = useStage(shapeOf(engine), { worker: { limits: { head_timeout: 1 } } });
  let player: Player;
  beforeAll(async () => void (player = await startPlayer(stage())));
  afterAll(() => player.stop());

  test.each(REQUESTS)("$name ($rfc)", async (row) => {
    expect(await player.play(row)).toEqual([]);
  });
});

describe.each(ENGINES)("answers through %s", (engine) => {
  const stage = useStage(shapeOf(engine));
  let player: AnswerPlayer;
  beforeAll(async () => void (player = await startAnswerPlayer(stage())));
  afterAll(() => player.stop());

  test.each(ANSWERS)("$name ($rfc)", async (row) => {
    expect(await player.play(row)).toEqual([]);
  });
});
