/** T3's lines that wait for the clock: the connect limit. */
import { expect } from "bun:test";
import { blackhole } from "./blackhole.ts";
import { dial } from "./client.ts";
import type { SlowLine } from "./slow.ts";
import { greeter, isLetIn } from "./tcp-admission.ts";
import { owed } from "../support/owed.ts";

export const TCP_SLOW: SlowLine[] = [
  {
    line: "T3",
    sentence: "a connection that the app does not take within 10 s is closed, and does not slow others",
    in: ({ frontend }) => frontend === "port",
    options: { worker: { protocol: "tcp", tcp_auth: "none" } },
    async work(stage) {
      const [hole, app] = [await blackhole(), greeter()];
      const [lost, good] = await Promise.all(
        [hole.port, app.port].map((upstream) => stage.open({ upstream, protocol: "tcp" })),
      );
      const start = performance.now();
      const waiting = await Promise.all(Array.from({ length: 50 }, () => dial(lost?.port ?? 0)));
      const others = await Promise.all(Array.from({ length: 50 }, () => isLetIn(good?.port ?? 0)));
      expect(others.filter((isIn) => isIn)).toHaveLength(50);
      expect(waiting.some((wire) => wire.ended !== null)).toBe(false);
      for (const wire of waiting) expect(await wire.end()).toBe("reset");
      expect(performance.now() - start).toBeGreaterThan(9900);
      expect(performance.now() - start).toBeLessThan(10_000 + owed(3000));
      hole.stop();
    },
  },
];
