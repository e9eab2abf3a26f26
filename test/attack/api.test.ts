/**
 * Requests made by chance from the OpenAPI document and from a good request of each call, with something odd in each: no 5xx, no
 * status, content type or body that is not documented, no secret in an answer, and afterwards all is in order.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createRandom } from "../faults/random.ts";
import type { Documented } from "../coordinator/calls/document.ts";
import type { Stage } from "../coordinator/calls/stage.ts";
import { table } from "../coordinator/calls/table.ts";
import { install, INSTALL_MS, installedAt } from "../support/apps/install.ts";
import { API_SECRET } from "../support/manager.ts";
import { unanswered } from "./api/answered.ts";
import { goodAttempt, type Given } from "./api/attempt.ts";
import { spoil } from "./api/changes.ts";
import { promisedOf, schemas, type Promised } from "./api/document.ts";
import { schemathesis } from "./api/schemathesis.ts";
import { startSite, type Site } from "./api/site.ts";
import { WORKER_CALLS } from "./api/worker-calls.ts";
import { isFull, seed } from "./options.ts";

/** Requests for each call: in the short form, as many as there is time for, and at least so many. */
const COUNT = isFull ? 1000 : 30;
const LEAST_MS = isFull ? 0 : 300;
/** So many are under way at once, of one good request: what it is about may be gone after some others. */
const TOGETHER = 5;
/** What a test has made for itself would take all ports in the end. */
const CLEAR_EVERY = 60;
const LIMIT_MS = 20 * 60_000;
/** Of Schemathesis: requests of each kind for each call, within so many seconds. */
const SCHEMATHESIS = isFull ? { examples: 200, seconds: 1800 } : { examples: 2, seconds: 20 };

let site: Site;
beforeAll(async () => void (site = await startSite()), 120_000);
afterAll(() => site.stop());

/** Tries a call for as long as there is time; gives what was wrong. */
async function attack(
  at: "coordinator" | "worker",
  { method, path, params, guard }: Pick<Documented, "method" | "path" | "params" | "guard">,
  promised: Promised,
  good: (stage: Stage) => Promise<Given>,
): Promise<string[]> {
  const random = createRandom(seed).fork(`${at} ${method} ${path}`);
  const found: string[] = [];
  const ends = performance.now() + LEAST_MS;
  for (let made = 0; made < COUNT || performance.now() < ends; made += TOGETHER) {
    if (made % CLEAR_EVERY === 0) await site.clear();
    const given = await good(site.stage);
    const attempts = Array.from({ length: TOGETHER }, () => goodAttempt(method, path, given, API_SECRET));
    for (const one of attempts) await spoil(one, { promised, schemas, params, path, given }, random, guard);
    found.push(...(await site.tryAll(at, attempts, promised)));
  }
  return [...found, ...(await site.disorder())];
}

describe(`the coordinator's calls (--seed ${seed})`, () => {
  const calls = table.map((one) => ({ ...one, title: one.documented.name }));

  test.each(calls)(
    "$title",
    async ({ plan, documented }) => {
      const promised = promisedOf(documented.method, documented.path);
      expect(await attack("coordinator", documented, promised, plan.good)).toEqual([]);
    },
    LIMIT_MS,
  );
});

describe(`the worker's own calls (--seed ${seed})`, () => {
  test.each([...WORKER_CALLS])(
    "GET $path",
    async ({ path, promised, good }) => {
      const call = { method: "GET", path, params: [], guard: "public" as const };
      expect(await attack("worker", call, promised, good)).toEqual([]);
    },
    LIMIT_MS,
  );
});

const installed = installedAt("schemathesis");
const isThere = isFull || installed !== null;

describe.skipIf(!isThere)(
  `Schemathesis${isThere ? "" : " (skipped: `bun test/apps/main.ts --install schemathesis` has not been run)"}`,
  () => {
    test(
      "finds nothing that has no answer",
      async () => {
        const directory = installed ?? (await install("schemathesis"));
        const { url } = site;
        const { found, requests, output } = await schemathesis(directory, url, {
          secret: API_SECRET,
          seed,
          ...SCHEMATHESIS,
        });
        expect([unanswered(found), unanswered(found).length === 0 ? "" : output]).toEqual([[], ""]);
        expect(requests).toBeGreaterThan(50);
        expect(await site.disorder()).toEqual([]);
      },
      INSTALL_MS + LIMIT_MS,
    );
  },
);

test("what Schemathesis finds and has no answer is a fault", () => {
  const found = [
    { check: "ServerError", operation: "POST /v2/conf" },
    { check: "AcceptedNegativeData", operation: "POST /v2/endpoints/bulk" },
    { check: "AcceptedNegativeData", operation: "POST /v2/conf" },
  ];
  expect(unanswered(found)).toEqual(found.filter((_one, at) => at !== 1));
});
