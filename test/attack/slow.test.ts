/**
 * Many connections, and slow ones: whatever an address does to one circuit, neighbours with another address and another circuit
 * have all of their requests answered, what is cut is cut as documented, and afterwards files, connections and memory are back.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { whyNoOwnNetwork } from "../support/own-network.ts";
import { isFull } from "./options.ts";
import { ATTACKS } from "./slow/attacks.ts";
import { AFTERWARDS, NEIGHBOURS, runAttacks, type Report } from "./slow/run.ts";
import { whyNoSlowhttptest } from "./slow/slowhttptest.ts";

const LIMIT_MS = isFull ? 40 * 60_000 : 6 * 60_000;

const missing = whyNoOwnNetwork();

describe.skipIf(missing !== null).each(["sockets", "serve"] as const)(
  `engine %s${missing === null ? "" : ` (skipped: ${missing})`}`,
  (engine) => {
    let report: Report;
    beforeAll(async () => void (report = await runAttacks({ engine, size: isFull ? "full" : "short" }, LIMIT_MS)), LIMIT_MS); // prettier-ignore

    test.each(ATTACKS)("$name", ({ name, needs }) => {
      const why = needs === undefined ? null : whyNoSlowhttptest();
      if (why === null) expect(report[name]).toEqual([]);
      else expect(report[name]).toBeUndefined();
    });

    test.each([NEIGHBOURS, AFTERWARDS])("%s", (name) => {
      expect(report[name]).toEqual([]);
    });
  },
);
