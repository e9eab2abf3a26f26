/** Whose pages may show an app in a frame. */
import { expect, test } from "bun:test";
import type { Listed } from "../../../worker/access/cors.ts";
import { createFrames } from "../../../worker/access/frames.ts";
import { entry } from "../../support/values.ts";

const [PLATFORM, PORTAL, OTHER] = ["https://web.example.com", "https://portal.example.com", "https://other.example.com"]; // prettier-ignore

const anybody: Listed = Object.assign(() => true, { forAll: true });

test("is each app's own to say where nothing is configured", () => {
  expect(createFrames([], [PORTAL], anybody)(entry({ allowed_origins: OTHER }))).toEqual([]);
});

test("are the app's own, the configured ones, and those that may call it", () => {
  const frames = createFrames([PLATFORM], [PORTAL, PLATFORM], anybody);
  const line = (value: string) => [["Content-Security-Policy", `frame-ancestors 'self' ${value}`]];
  expect(createFrames([PLATFORM], [], anybody)(entry())).toEqual(line(PLATFORM) as [string, string][]);
  expect(frames(entry({ open_to_public: true }))).toEqual(line(`${PLATFORM} ${PORTAL}`) as [string, string][]);
  expect(frames(entry({ allowed_origins: OTHER }))).toEqual(line(`${PLATFORM} ${PORTAL} ${OTHER}`) as [string, string][]); // prettier-ignore
});

test("are not said of model services", () => {
  expect(createFrames([PLATFORM], [], anybody)(entry({ app_mode: "inference" }))).toEqual([]);
});

test("are not those at whose slot another person's app is by now", () => {
  let isTheirs = true;
  const listed: Listed = Object.assign((_entry: unknown, origin: string) => origin !== OTHER || isTheirs, { forAll: true }); // prettier-ignore
  const frames = createFrames([PLATFORM], [PORTAL], listed);
  const app = entry({ allowed_origins: OTHER });
  const ancestors = () => frames(app)[0]?.[1].split(" ").slice(2);
  expect(ancestors()).toEqual([PLATFORM, PORTAL, OTHER]);
  isTheirs = false;
  expect(ancestors()).toEqual([PLATFORM, PORTAL]);
  const lines = frames(app);
  expect(frames(entry({ allowed_origins: PORTAL }))).not.toBe(lines);
  expect(frames(app)).toBe(lines);
});
