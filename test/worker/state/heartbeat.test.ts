/** What a node makes of a heartbeat's answer. */
import { expect, test } from "bun:test";
import { judge, type Mine } from "../../../worker/state/heartbeat.ts";

const here = (asked: number | null, revision: number | null, digest: number | null = 7): Mine => ({
  asked,
  revision,
  digest,
});

test.each<[what: string, answer: { revision?: number; digest?: number }, mine: Mine, found: string]>([
  ["the same", { revision: 5, digest: 7 }, here(5, 5), "fine"],
  ["the original's, which tells no revision", {}, here(5, 5), "fine"],
  ["for a node that has none", { revision: 5, digest: 8 }, here(null, null), "fine"],
  ["for a node that has one only since it asked", { revision: 5, digest: 8 }, here(null, 5), "fine"],
  ["other circuits under the same number", { revision: 5, digest: 8 }, here(5, 5), "differs"],
  [
    "other circuits under the number that an event has brought meanwhile",
    { revision: 6, digest: 8 },
    here(5, 6),
    "differs",
  ],
  ["the same number without a digest", { revision: 5 }, here(5, 5), "fine"],
  ["other circuits than those of a node that can't compare them", { revision: 5, digest: 8 }, here(5, 5, null), "fine"],
  ["more", { revision: 6, digest: 8 }, here(5, 5), "missed"],
  ["more than there was, which has come meanwhile", { revision: 6, digest: 7 }, here(5, 6), "fine"],
  ["less than has come meanwhile", { revision: 5, digest: 8 }, here(5, 6), "fine"],
  ["less than there was when it asked: a database from a backup", { revision: 4, digest: 8 }, here(5, 5), "missed"],
  ["less, of an empty database", { revision: 0, digest: 0 }, here(5, 6), "missed"],
])("an answer that tells %s", (_what, answer, mine, found) => {
  expect(judge(answer, mine)).toBe(found as ReturnType<typeof judge>);
});
