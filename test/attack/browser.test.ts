/**
 * A hostile app's page against another app of the same person, in Chromium: circuits by port (one host, whose cookies all its
 * ports share) and by name, over each engine. What counts is what reached the other app, and what the page has learnt.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { startBrowser } from "../support/browser.ts";
import { confBody } from "../support/manager.ts";
import { until } from "../support/until.ts";
import { SECRET } from "./browser/apps.ts";
import { isFull } from "./options.ts";
import { CHANGING, FETCH, FRAME, KEPT_OUT, SEEN_NOTHING } from "./browser/attempts.ts";
import { jarTests } from "./browser/jar.ts";
import { ledTests } from "./browser/led.ts";
import { rebound, type Told } from "./browser/rebinding.ts";
import { isIn, reached, run, setScene, SHAPES, target, type Scene } from "./browser/stage.ts";

// Many steps in a browser, each of which takes long on a busy machine. Milliseconds.
setDefaultTimeout(300_000);

let browser: Browser;
beforeAll(async () => {
  // Chromium registers no service worker behind a certificate that it does not know.
  browser = await startBrowser(["--ignore-certificate-errors"]);
});
afterAll(() => browser.close());

describe.each(SHAPES)("over $scheme, by $frontend, with the engine $engine:", (shape) => {
  let scene: Scene;
  let page: Page;
  beforeAll(async () => {
    scene = await setScene(browser, shape);
    page = await scene.hostilePage();
  });
  afterAll(() => scene.stop());

  test("the apps work, each for its own pages", async () => {
    const own = await scene.context.newPage();
    expect(await isIn(scene, own)).toEqual([200, SECRET]);
    expect(await run(own, FETCH, "/x", { method: "POST" })).toEqual(["basic", 200, `{"secret":"${SECRET}"}`]);
    await own.close();
  });

  test.each(KEPT_OUT)("%s reaches nothing and learns nothing", async (_what, path, script, learns) => {
    const url = target(scene, path);
    expect(await run(page, script, url)).toEqual(learns);
    expect(reached(scene, url)).toEqual([]);
  });

  test("what the browser has kept of the other app is not the page's to read, nor when that one has ended", async () => {
    const one = await scene.apart("c");
    const own = await one.context().newPage();
    const { origin, circuitId } = await scene.open(own, "c");
    const load = KEPT_OUT.filter(([what]) => ["an image", "a script", "a style sheet"].includes(what));
    const loaded = (by: Page) =>
      Promise.all(load.map(([, path, script]) => run(by, script, `${origin}${path}?lasting`)));
    expect(await loaded(own)).toEqual([
      ["load", 77],
      ["load", SECRET],
      ["load", expect.stringContaining(SECRET)],
    ]);
    const nothing = load.map(([, , , learns]) => learns);
    expect(await loaded(one)).toEqual(nothing);
    await scene.cluster.manager.api("DELETE", `/api/circuit/${circuitId}`);
    await one.reload();
    expect(await loaded(one)).toEqual(nothing);
    await one.context().close();
  });

  describe("where it leads the person", () => ledTests(shape, () => ({ scene, page })));

  // Most of the time: in short, each frontend and each engine once.
  if (isFull || (shape.frontend === "port") === (shape.engine === "serve"))
    describe("its cookies", () => jarTests(shape, () => scene));

  describe("of the services", () => {
    test.each(CHANGING.filter(([what]) => !what.includes("WebSocket")))(
      "%s gets no token of the Manager's",
      async (_what, _path, script, learns) => {
        const before = scene.tokens();
        // As a text of JavaScript, in the place of what else is sent.
        const body = JSON.stringify(JSON.stringify(confBody({ kernel_port: 22 })));
        expect(
          await run(page, script.replaceAll('"{}"', body), `${scene.cluster.coordinator.baseUrl}/v2/conf`),
        ).toEqual(learns);
        expect(scene.tokens()).toBe(before);
      },
    );

    test("the pages can't be framed where a click does anything", async () => {
      const { coordinator } = scene.cluster;
      await run(page, FRAME, `${coordinator.baseUrl}/swagger`);
      await until(() => page.frames().some((frame) => frame.url() === "chrome-error://chromewebdata/"));
      const other = await scene.apart();
      for (const url of [scene.b.origin, `${scene.api}/setup`, `${coordinator.baseUrl}/v2/proxy/auth`]) {
        await other.goto(url);
        expect([url, await other.locator("form, script, button, input, iframe").count()]).toEqual([url, 0]);
      }
      await other.context().close();
    });

    test("a page whose own name leads there reads only what every page may read, and no app", async () => {
      const told: Told[] = await rebound(scene, page);
      expect(told.filter(({ may, got }) => got.status < 400 && !may)).toEqual([]);
      expect(told.filter(({ got }) => got.text.includes(SECRET))).toEqual([]);
      expect(told.length).toBeGreaterThan(20);
    });
  });
});

describe.each(["sockets", "serve"] as const)("where frames are for the platform, with the engine %s:", (engine) => {
  test("a page shows its own app in one, and not another", async () => {
    const more = { frame_ancestors: ["https://web.example"] };
    const scene = await setScene(browser, { frontend: "port", scheme: "http", engine, more });
    const page = await scene.hostilePage();
    await run(page, FRAME, scene.a.origin);
    const shown = () => page.frames().map((frame) => frame.url());
    expect(shown()).toEqual([`${scene.a.origin}/`, `${scene.a.origin}/`]);
    await run(page, FRAME, scene.b.origin);
    await until(() => shown().includes("chrome-error://chromewebdata/"));
    expect(shown()).not.toContain(`${scene.b.origin}/`);
    await scene.stop();
  });
});

/** No page can be trusted there, as whoever sits in the line can write any: so browsers do not say how they ask. */
describe.each(["sockets", "serve"] as const)("over http at a name, by port, with the engine %s:", (engine) => {
  let scene: Scene;
  let page: Page;
  beforeAll(async () => {
    scene = await setScene(browser, { frontend: "port", scheme: "http", engine, host: "worker.one.example" });
    page = await scene.hostilePage();
  });
  afterAll(() => scene.stop());

  test.each(CHANGING)("%s reaches nothing", async (_what, path, script, learns) => {
    const url = target(scene, path);
    expect(await run(page, script, url)).toEqual(learns);
    expect(reached(scene, url)).toEqual([]);
  });

  test("a fetch is not read, nor is a frame", async () => {
    expect(await run(page, FETCH, target(scene), {})).toBe("TypeError: Failed to fetch");
    expect(await run(page, FRAME, target(scene))).toEqual(["null", ...SEEN_NOTHING]);
  });
});
