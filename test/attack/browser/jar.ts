/** What a page does to the cookies of its site, which are the other app's site too. */
import { expect, test } from "bun:test";
import { until } from "../../support/until.ts";
import { SECRET } from "./apps.ts";
import { FETCH } from "./attempts.ts";
import { BOMB, forgeries, OVERFLOW, READ_COOKIES, SET_COOKIES } from "./cookies.ts";
import { isIn, run, type Scene, type Shape } from "./stage.ts";

export function jarTests(shape: Shape, stage: () => Scene): void {
  const parent = shape.frontend === "port" ? "127.0.0.1" : "apps.localhost";
  const shared = shape.frontend === "port" ? "" : `; domain=${parent}`;

  test("neither forge nor take away nor read the other app's permit", async () => {
    const scene = stage();
    const { a, b, victim, hostile } = scene;
    const one = await scene.apart("b");
    const own = await one.context().newPage();
    await own.goto(b.origin);
    const names = [a.permit, b.permit];
    const kept = async () =>
      (await one.context().cookies()).filter(({ name, path }) => names.includes(name) && path === "/");
    const permits = (await kept()).map(({ value }) => value);
    expect(permits.length).toBe(2);
    const lines = forgeries(b.permit, parent);
    const works = (path: string) => run(own, FETCH, path, { method: "POST" });
    const worked = ["basic", 200, expect.stringContaining(SECRET)];
    for (const line of lines) {
      await run(one, SET_COOKIES, line, b.permit);
      expect([line, await works("/deep/x")]).toEqual([line, worked]);
    }
    for (const more of ["", "; httponly"]) {
      const query = lines.map((line) => `set=${encodeURIComponent(line + more)}`).join("&");
      await one.goto(`${a.origin}/?${query}`);
      expect([await works("/x"), await works("/deep/x")]).toEqual([worked, worked]);
    }
    expect((await kept()).map(({ value }) => value)).toEqual(expect.arrayContaining(permits));
    // Neither page nor servers have seen any of it.
    const seen = JSON.stringify([await run(one, READ_COOKIES), victim.seen, hostile.seen]);
    for (const value of permits) expect(seen).not.toContain(value);
    const sent = [...victim.seen, ...hostile.seen].flatMap(({ headers }) =>
      headers.filter(([name]) => name === "cookie"),
    );
    expect(sent.filter(([, value]) => /(^|[;\s=])(__Host-)?appproxy_permit/.test(value))).toEqual([]);
    await one.context().close();
  });

  test("by hundreds push no permit out", async () => {
    const scene = stage();
    const one = await scene.apart("b");
    await run(one, OVERFLOW, 400, "");
    await one.goto(`${scene.a.origin}/?${Array.from({ length: 50 }, (_, n) => `set=served${n}%3Dx`).join("&")}`);
    expect(await isIn(scene, one)).toEqual([200, SECRET]);
    await one.context().close();
  });

  test("that are made to push permits out do no more than that: who opens the app again is in", async () => {
    const scene = stage();
    const one = await scene.apart("b");
    await run(one, OVERFLOW, 400, "; priority=high");
    // Chromium may still be writing what the script has set, and push the new permit out as well.
    await until(async () => {
      await scene.open(one, "b");
      return Bun.deepEquals(await isIn(scene, one), [200, SECRET]);
    });
    await one.context().close();
  });

  test("that are too large for any request keep the person out until they are gone, and reach nothing", async () => {
    const scene = stage();
    const one = await scene.apart("b");
    await run(one, BOMB, shared);
    const context = one.context();
    await until(async () => (await context.cookies()).length >= 30);
    const before = scene.victim.seen.length;
    const answered = one.waitForResponse(`${scene.b.origin}/`);
    await one.goto(scene.b.origin).catch(() => undefined); // a refusal without a page
    expect([(await answered).status(), scene.victim.seen.length]).toEqual([431, before]);
    await context.clearCookies({ name: /^bomb/ });
    expect(await isIn(scene, await context.newPage())).toEqual([200, SECRET]);
    await context.close();
  });

  test("are all that its server clears", async () => {
    const scene = stage();
    const one = await scene.apart("b");
    for (const cleared of ['"cookies"', '"*"', '"cache", "cookies", "storage"']) {
      await one.goto(`${scene.a.origin}/?header-Clear-Site-Data=${encodeURIComponent(cleared)}`);
      expect([cleared, ...(await isIn(scene, one))]).toEqual([cleared, 200, SECRET]);
    }
    await one.context().close();
  });
}
