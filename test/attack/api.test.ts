/**
 * Requests made by chance from the OpenAPI document and from a good request of each call, with something odd in each: no 5xx, no
 * status, content type or body that is not documented, no secret in an answer, and afterwards all is in order.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createRandom } from "../faults/random.ts";
import { table } from "../coordinator/calls/table.ts";
import { API_SECRET } from "../support/manager.ts";
import { goodAttempt } from "./api/attempt.ts";
import { spoil } from "./api/changes.ts";
import { promisedOf, schemas } from "./api/document.ts";
import { startSite, type Site } from "./api/site.ts";
import { isFull, seed } from "./options.ts";

/** Requests for each call: in the short form, as many as there is time for, and at least so many. */
const COUNT = isFull ? 1000 : 60;
const LEAST_MS = isFull ? 0 : 700;
/** So many are under way at once, of one good request: what it is about may be gone after some others. */
const TOGETHER = 5;
/** What a test has made for itself would take all ports in the end. */
const CLEAR_EVERY = 60;
const LIMIT_MS = 20 * 60_000;

let site: Site;
beforeAll(async () => void (site = await startSite()), 120_000);
afterAll(() => site.stop());

const calls = table.map((call) => ({ ...call, title: call.documented.name }));

describe(`the coordinator's calls (--seed ${seed})`, () => {
  test.each(calls)(
    "$title",
    async ({ plan, documented: { method, path, params, guard, name } }) => {
      const promised = promisedOf(method, path);
      const random = createRandom(seed).fork(name);
      const found: string[] = [];
      const ends = performance.now() + LEAST_MS;
      for (let made = 0; made < COUNT || performance.now() < ends; made += TOGETHER) {
        if (made % CLEAR_EVERY === 0) await site.clear();
        const given = await plan.good(site.stage);
        const attempts = await Promise.all(Array.from({ length: TOGETHER }, async () => {
        const attempt = goodAttempt(method, path, given, API_SECRET);
        await spoil(attempt, { promised, schemas, params, path, given }, random, guard);
        return attempt;
      })); // prettier-ignore
        found.push(...(await site.tryAll(attempts, promised)));
      }
      found.push(...(await site.disorder()));
      expect(found).toEqual([]);
    },
    LIMIT_MS,
  );
});
