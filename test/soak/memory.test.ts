/**
 * What stalls and what leaves costs the worker little and leaves nothing behind: with bounds that hold on a busy machine, and
 * that nothing passes that is gathered without bound or kept. The figures are those of `bun run bench stalled`.
 */
import { describe, expect, test } from "bun:test";
import { CHURNS } from "../bench/load-churn.ts";
import { STALLS } from "../bench/load-stalled.ts";
import { runStalled } from "../bench/stalled-run.ts";
import { whyNoOwnNetwork } from "../support/own-network.ts";

const MIB = 2 ** 20;
const AMOUNT = { churned: { requests: 2000, connections: 1000, aborts: 2000 }, patienceMs: 30_000, seed: 1 };
const LIMIT_MS = 12 * 60_000;

/**
 * How many stall, and what each may take: some reads, and copies that the collector has not taken; `fetch` gathers 2.5 MiB of an
 * answer. An answer is 100 MB. Bytes.
 */
const ENGINES = { sockets: { stalled: 100, held: 4 * MIB }, serve: { stalled: 50, held: 6 * MIB } };
/** The collector's: a request of 2,000 that left more than 16 KiB would be seen. Bytes. */
const LEFT = 32 * MIB;

const missing = whyNoOwnNetwork();

// Each has a network of its own, and waits for most of its time.
for (const engine of ["sockets", "serve"] as const)
  describe(`the ${engine} engine`, () => {
    test.concurrent.skipIf(missing !== null)(
      `holds little for what stalls, and keeps nothing of what has gone${missing === null ? "" : ` (skipped: ${missing})`}`,
      async () => {
        const { stalled, held } = ENGINES[engine];
        const { stalls, churns } = await runStalled({ ...AMOUNT, stalled, proxy: engine }, LIMIT_MS);
        console.log(JSON.stringify({ stalls, churns }));
        const over = [
          ...STALLS.filter((stall) => stalls[stall].most > held).map((stall) => `${stall}: holds too much`),
          ...STALLS.filter((stall) => stalls[stall].left > LEFT).map((stall) => `${stall}: leaves memory`),
          ...STALLS.filter((stall) => stalls[stall].files > 0).map((stall) => `${stall}: leaves files`),
          ...CHURNS.filter((churn) => churns[churn].grown > LEFT).map((churn) => `${churn}: leave memory`),
          ...CHURNS.filter((churn) => churns[churn].files > 0).map((churn) => `${churn}: leave files`),
        ];
        expect(over).toEqual([]);
      },
      LIMIT_MS + 60_000,
    );
  });
