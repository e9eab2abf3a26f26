/** R2's lines that wait for the clock: the way back of a route that was taken out. */
import { expect } from "bun:test";
import { until } from "../support/until.ts";
import { freePort } from "../support/ports.ts";
import { answers } from "./routes.ts";
import { answer, answering } from "./upstreams.ts";
import type { SlowLine } from "./slow.ts";
import { owed } from "../support/owed.ts";

export const ROUTES_SLOW: SlowLine[] = [
  {
    line: "R2",
    sentence: "a TCP probe every 10 s brings a route back, and none of its requests is risked for it",
    async work(stage) {
      // A port that nobody takes in the seconds in which it is shut.
      const dead = answering(answer(200, [], "dead"), await freePort());
      const good = answering(answer(200, [], "good"));
      dead.refuse();
      const to = await stage.open({ upstream: [dead.port, good.port] });
      await answers(to, 4);
      // Its third failure, the fifth request or the sixth, lies between these two moments.
      const before = performance.now();
      await answers(to, 2);
      const after = performance.now();
      dead.accept();
      while (dead.wires.length === 0) {
        await answers(to, 2);
        expect(performance.now() - after).toBeLessThan(10_000 + owed(2000));
        await Bun.sleep(50);
      }
      expect(performance.now() - before).toBeGreaterThan(9900);
      const isBack = async () => (await answers(to, 2)).includes("dead");
      await until(isBack);
      // The probe was the first connection, and no request.
      expect(dead.wires[0]?.received).toBe(0);
    },
  },
];
