/** H10: nothing is kept, and nothing is sent twice that may have reached an app. */
import { expect } from "bun:test";
import { ask } from "./client.ts";
import { answer, app, echo, listen, type Upstream } from "./upstreams.ts";
import type { Wire } from "./wire.ts";
import { until } from "../support/until.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";

export function httpRepeats(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H10", "keeps no answers", async () => {
    const upstream = app(({ wire }) =>
      wire.send(
        answer(
          200,
          [
            ["Cache-Control", "public, max-age=3600"],
            ["ETag", '"e"'],
          ],
          "ok",
        ),
      ),
    );
    const to = await stage().open({ upstream: upstream.port });
    for (let at = 0; at < 3; at++) await ask(to, "/same");
    expect(upstream.asked.length).toBe(3);
  });

  for (const method of ["POST", "PUT", "PATCH", "DELETE"])
    line("H10", `never sends a ${method} with a body twice when its connection ends`, async () => {
      const upstream = endingAfterFirst();
      const to = await stage().open({ upstream: upstream.port });
      await ask(to, "/1");
      expect((await ask(to, "/2", { method, body: "once" })).head.status).toBe(502);
      expect(targets(upstream)).toEqual(["/1", "/2"]);
    });

  for (const method of ["DELETE", "OPTIONS", "POST"])
    line("H10", `never sends a ${method} without a body twice when its connection ends`, async () => {
      const upstream = endingAfterFirst();
      const to = await stage().open({ upstream: upstream.port });
      await ask(to, "/1");
      expect((await ask(to, "/2", { method })).head.status).toBe(502);
      expect(targets(upstream)).toEqual(["/1", "/2"]);
    });

  for (const method of ["GET", "HEAD"])
    line(
      "H10",
      `never sends a ${method} twice when its connection ends`,
      async () => {
        const upstream = endingAfterFirst();
        const to = await stage().open({ upstream: upstream.port });
        await ask(to, "/1");
        expect((await ask(to, "/2", { method })).head.status).toBe(502);
        expect(targets(upstream)).toEqual(["/1", "/2"]);
      },
      { deviation: "a GET or HEAD on a reused connection that the app resets may be sent again" },
    );

  line(
    "H10",
    "asks once more with a GET or HEAD whose connection had been idle for a second, with others once",
    async () => {
      const methods = ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "QUERY"];
      const places = await Promise.all(
        methods.map(async (method) => {
          const upstream = endingAfterFirst();
          const to = await stage().open({ upstream: upstream.port });
          await ask(to, "/1");
          return { method, upstream, to };
        }),
      );
      const idleSince = performance.now();
      await until(() => performance.now() - idleSince > 1100);
      for (const { method, upstream, to } of places) {
        // The second time is over a fresh connection, whose end is the app's own.
        expect([method, (await ask(to, "/2", { method })).head.status]).toEqual([method, 502]);
        const times = method === "GET" || method === "HEAD" ? 2 : 1;
        expect([method, targets(upstream)]).toEqual([method, ["/1", ...Array<string>(times).fill("/2")]]);
      }
    },
  );

  line("H10", "never sends to another route what may have reached an app", async () => {
    const [first, second] = [listen(dropping), listen(dropping)];
    const to = await stage().open({ upstream: [first.port, second.port] });
    for (const method of ["GET", "POST"])
      expect((await ask(to, "/", method === "POST" ? { method, body: "once" } : { method })).head.status).toBe(502);
    expect(first.wires.length + second.wires.length).toBe(2);
  });

  line("H10", "sends a GET that could not connect to another route", async () => {
    const dead = echo();
    dead.refuse();
    const alive = echo();
    const to = await stage().open({ upstream: [dead.port, alive.port] });
    const statuses: number[] = [];
    for (let at = 0; at < 6; at++) statuses.push((await ask(to, `/${at}`)).head.status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200]);
    expect(targets(alive)).toEqual(["/0", "/1", "/2", "/3", "/4", "/5"]);
  });
}

// --- internal ---

/** Answers `/1`, and ends the connection upon any other request. */
function endingAfterFirst(): Upstream {
  return app(async ({ head, wire, body }) => {
    await body();
    if (head.target === "/1") await wire.send(answer(200, [], "ok"));
    else wire.reset();
  });
}

/** Reads a request and ends the connection. */
async function dropping(wire: Wire): Promise<void> {
  await wire.readThrough("\r\n\r\n");
  wire.close();
}

function targets({ asked }: Upstream): string[] {
  return asked.map(({ head }) => head.target);
}
