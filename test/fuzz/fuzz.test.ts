/** A short run of the fuzzer: seeds that are always tried, and one that nobody has tried. `bun run fuzz` tries more. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { answerKind, fuzz, report, streamKind, type Kind } from "./fuzz.ts";
import { newSeed } from "./options.ts";
import { startPeers, type Peers } from "./peers/peers.ts";

const SEEDS = [1, 2, newSeed()];
const [STREAMS, COMPARED, ANSWERS] = [600, 250, 250];

async function faultsOf<T>(kind: Kind<T>, seed: number, count: number): Promise<string[]> {
  const { found, growth, done } = await fuzz(kind, { seed, from: 0, count, progress: () => undefined });
  expect(done).toBe(count);
  return [...found.map((one) => report(kind, seed, one)), ...growth];
}

console.log(`fuzz: seeds ${SEEDS.join(", ")}`);

describe.each(SEEDS)("with seed %d", (seed) => {
  test("an app gets what the model accepts of a stream, and its client the answers", async () => {
    expect(await faultsOf(streamKind(null), seed, STREAMS)).toEqual([]);
  });

  test("a client gets an app's answer whole, or sees that it is broken", async () => {
    expect(await faultsOf(answerKind, seed, ANSWERS)).toEqual([]);
  });
});

describe("beside llhttp and HAProxy", () => {
  let peers: Peers;
  beforeAll(async () => void (peers = await startPeers()));
  afterAll(() => peers.close());

  test.each(SEEDS)("nothing is accepted that both refuse, with seed %d", async (seed) => {
    if (peers.both === null) return console.log("node or haproxy is not installed");
    expect(await faultsOf(streamKind(peers.both), seed, COMPARED)).toEqual([]);
  });
});
