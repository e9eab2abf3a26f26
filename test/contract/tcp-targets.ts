/** T3 where the address is the fault: what may not be connected to is not, and who came is reset. */
import { describe, expect } from "bun:test";
import { until } from "../support/until.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import { localRoute, type Stage } from "./stage.ts";
import { greeter, isLetIn } from "./tcp-admission.ts";

export function tcpTargetsSuite(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);
  describe("TCP targets", () => {
    line("T3", "a circuit to a listener of the worker's own, also to its own port, connects to nobody", async () => {
      const app = greeter();
      const other = await stage().open({ upstream: app.port, protocol: "tcp" });
      const to = await stage().open({ routes: [], protocol: "tcp" });
      const coordinator = Number(new URL(stage().coordinator.url).port);
      for (const port of [other.port, to.port, stage().apiPort(), coordinator]) {
        await stage().updateRoutes(to, [port]);
        expect([port, await isLetIn(to.port)]).toEqual([port, false]);
      }
      expect(app.wires).toEqual([]);
      await until(() =>
        stage().lines.some((one) => JSON.stringify(one).includes("a listener of the platform's own is there")),
      );
      await stage().updateRoutes(to, [app.port]);
      await until(() => isLetIn(to.port));
    });

    line("T3", "a circuit outside of kernel_host_cidrs connects to nobody", async () => {
      const to = await stage().open({ routes: [], protocol: "tcp" });
      for (const kernel_host of ["169.254.169.254", "0.0.0.0", "8.8.8.8"]) {
        await stage().updateRoutes(to, [{ ...localRoute(80, to.circuit), kernel_host }]);
        expect([kernel_host, await isLetIn(to.port)]).toEqual([kernel_host, false]);
      }
    });
  });
}
