/** Whose pages may show an app in a frame. */
import { expect, test } from "bun:test";
import { createFrames } from "../../../worker/access/frames.ts";
import { entry } from "../../support/values.ts";

const [PLATFORM, PORTAL, OTHER] = ["https://web.example.com", "https://portal.example.com", "https://other.example.com"]; // prettier-ignore

test("is each app's own to say where nothing is configured", () => {
  expect(createFrames([], [PORTAL])(entry({ allowed_origins: OTHER }))).toEqual([]);
});

test("are the app's own, the configured ones, and those that may call it", () => {
  const frames = createFrames([PLATFORM], [PORTAL, PLATFORM]);
  const line = (value: string) => [["Content-Security-Policy", `frame-ancestors 'self' ${value}`]];
  expect(createFrames([PLATFORM], [])(entry())).toEqual(line(PLATFORM) as [string, string][]);
  expect(frames(entry({ open_to_public: true }))).toEqual(line(`${PLATFORM} ${PORTAL}`) as [string, string][]);
  expect(frames(entry({ allowed_origins: OTHER }))).toEqual(line(`${PLATFORM} ${PORTAL} ${OTHER}`) as [string, string][]); // prettier-ignore
});

test("are not said of model services", () => {
  expect(createFrames([PLATFORM], [])(entry({ app_mode: "inference" }))).toEqual([]);
});
