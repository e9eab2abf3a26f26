/** T3: how many connections a circuit may have. The connect limit is in tcp-slow.ts. */
import { describe, expect } from "bun:test";
import { until } from "../support/until.ts";
import { blackhole } from "./blackhole.ts";
import { dial } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import type { Shape } from "./shapes.ts";
import { greeter, isLetIn } from "./tcp-admission.ts";
import type { Opened, Stage } from "./stage.ts";
import type { Wire } from "./wire.ts";

/** Connections that an app has greeted. */
async function greeted({ port }: Opened, count: number): Promise<Wire[]> {
  const wires = await Promise.all(Array.from({ length: count }, () => dial(port)));
  for (const wire of wires) await wire.readThrough("hello");
  return wires;
}

/**
 * As many, as soon as those that end count no more: a worker sees an end a moment after its client. Who is let in stays, since
 * one that were closed again would count against the next one for a moment too.
 */
async function greetedSoon(to: Opened, count: number): Promise<Wire[]> {
  const wires: Wire[] = [];
  await until(async () => {
    const wire = await dial(to.port).catch(() => null);
    if (wire === null) return false;
    if ((await wire.readThrough("hello")) === null) wire.close();
    else wires.push(wire);
    return wires.length === count;
  });
  return wires;
}

/** What the worker says of it is what tells why not. */
async function letInSoon(stage: Stage, { port }: Opened): Promise<void> {
  await until(() => isLetIn(port)).catch((error: unknown) => {
    throw new Error(`nobody is let in: ${JSON.stringify(stage.lines.slice(-3))}`, { cause: error });
  });
}

/** `byDefault` is a stage with tcp_auth none and the limit that is not configured. */
export function tcpLimitsSuite(shape: Shape, byDefault: () => Stage): void {
  const line = linesOf(shape);

  describe("TCP limits", () => {
    const stage = useStage(shape, { worker: { protocol: "tcp", tcp_auth: "none", tcp_max_connections: 3 } });

    line("T3", "a circuit has tcp_max_connections at most, whatever way they end", async () => {
      const app = greeter();
      const to = await stage().open({ upstream: app.port, protocol: "tcp" });
      for (const end of ["close", "reset"] as const) {
        const wires = await greetedSoon(to, 3);
        expect(await isLetIn(to.port)).toBe(false);
        for (const wire of wires) wire[end]();
        for (const wire of app.wires) wire.close();
      }
      await greetedSoon(to, 3);
    });

    line("T3", "connections that are being made count", async () => {
      const hole = await blackhole();
      // Inference: what is being made goes on when the route has gone.
      const to = await stage().open({ upstream: hole.port, protocol: "tcp", appMode: "inference", public: true });
      const wires = await Promise.all([1, 2, 3].map(() => dial(to.port)));
      // The system has accepted them: a worker that is busy may hear of the routes before it does.
      await until(() => hole.asking() === 3);
      await stage().updateRoutes(to, [greeter().port]);
      expect(await isLetIn(to.port)).toBe(false);
      // A client that leaves meanwhile makes room.
      wires[0]?.reset();
      await letInSoon(stage(), to);
      hole.stop();
    });

    line("T3", "connections over a route that has gone count as long as they last", async () => {
      const [old, fresh] = [greeter(), greeter()];
      const to = await stage().open({ upstream: old.port, protocol: "tcp", appMode: "inference", public: true });
      const wires = await greeted(to, 3);
      await stage().updateRoutes(to, [fresh.port]);
      expect(await isLetIn(to.port)).toBe(false);
      wires[0]?.reset();
      await letInSoon(stage(), to);
    });
  });

  if (shape.place === "spawned")
    line("T3", "a circuit has 1,024 connections at most by default", async () => {
      const to = await byDefault().open({ upstream: greeter().port, protocol: "tcp" });
      const wires = await greeted(to, 1024);
      expect(await isLetIn(to.port)).toBe(false);
      wires[0]?.reset();
      await until(() => isLetIn(to.port));
    });
}
