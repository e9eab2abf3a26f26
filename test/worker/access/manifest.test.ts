/** Web app manifests that a page asks for without its cookies: which requests are meant. */
import { expect, test } from "bun:test";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { isBareManifest } from "../../../worker/access/manifest.ts";
import { entry, head, type HeadWish } from "../../support/values.ts";

const FROM_PAGE: [string, string][] = [["Sec-Fetch-Dest", "manifest"], ["Sec-Fetch-Site", "same-origin"]]; // prettier-ignore
const isMeant = (headers: [string, string][], over: HeadWish = {}, circuit: Partial<Circuit> = {}) =>
  isBareManifest(head({ ...over, headers }), entry(circuit), { secure: false } as Parameters<typeof isBareManifest>[2]);

test("a page's own, without a permit, is meant", () => {
  expect(isMeant(FROM_PAGE)).toBe(true);
  expect(isMeant([...FROM_PAGE, ["Cookie", "theme=dark"]])).toBe(true);
});

test.each([
  ["without the browser's word", []],
  [
    "of another site's page",
    [
      ["Sec-Fetch-Dest", "manifest"],
      ["Sec-Fetch-Site", "cross-site"],
    ],
  ],
  [
    "of another port's page",
    [
      ["Sec-Fetch-Dest", "manifest"],
      ["Sec-Fetch-Site", "same-site"],
    ],
  ],
  [
    "of something else",
    [
      ["Sec-Fetch-Dest", "script"],
      ["Sec-Fetch-Site", "same-origin"],
    ],
  ],
  ["with a permit, good or not", [...FROM_PAGE, ["Cookie", "appproxy_permit_c1c1c1c1=x"]]],
  ["with the original's permit", [...FROM_PAGE, ["Cookie", "appproxy_permit=x"]]],
] as [string, [string, string][]][])("one %s is not", (_which, headers) => {
  expect(isMeant(headers)).toBe(false);
});

test("nor what changes something, nor one of a circuit that wants no permit", () => {
  expect(isMeant(FROM_PAGE, { method: "POST" })).toBe(false);
  expect(isMeant(FROM_PAGE, {}, { open_to_public: true })).toBe(false);
  expect(isMeant(FROM_PAGE, {}, { app_mode: "inference" })).toBe(false);
});
