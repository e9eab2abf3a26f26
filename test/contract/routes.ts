/** R1, R2: which route a request takes, and how one that does not answer is left out. Its way back is in routes-slow.ts. */
import { describe, expect } from "bun:test";
import { owed } from "../support/owed.ts";
import { until } from "../support/until.ts";
import { blackhole } from "./blackhole.ts";
import { ask, begin, dial, finalHead, requestHead } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import { chunk } from "./message.ts";
import type { Shape } from "./shapes.ts";
import { localRoute, type Opened, type Stage, type Wish } from "./stage.ts";
import { answer, app, answering, type Upstream } from "./upstreams.ts";
import { handshake } from "./websocket-peer.ts";
import type { Wire } from "./wire.ts";

const INFERENCE = { appMode: "inference", public: true } as const;

/** A client's end is heard within this, on a quiet machine. Milliseconds. */
const HEARD_MS = 300;

/** Apps that say who they are. */
export function named(...names: string[]): Upstream[] {
  return names.map((name) => answering(answer(200, [], name)));
}

/** Who answers, one request after the other. */
export async function answers(to: Opened, count: number): Promise<string[]> {
  const said: string[] = [];
  for (let at = 0; at < count; at++) {
    const { head, body } = await ask(to, "/");
    said.push(head.status === 200 ? body.bytes.toString() : String(head.status));
  }
  return said;
}

/** How many requests of `count` went to each of these routes, whose shares of the traffic are given. */
async function shares(stage: Stage, ratios: number[], count: number, wish: Wish = {}): Promise<number[]> {
  const apps = ratios.map((_, at) => answering(answer(200, [], String(at))));
  const session_ids = [crypto.randomUUID()];
  const routes = apps.map(({ port }, at) => ({
    ...localRoute(port, { session_ids }),
    traffic_ratio: ratios[at] ?? 0,
  }));
  const to = await stage.open({ ...wish, routes, circuit: { session_ids } });
  const said = await answers(to, count);
  return ratios.map((_, at) => said.filter((who) => who === String(at)).length);
}

export function routesSuite(shape: Shape): void {
  const line = linesOf(shape);

  describe("routes", () => {
    const stage = useStage(shape);

    line("R1", "the traffic is shared by traffic_ratio, and none goes to a route whose ratio is 0", async () => {
      expect(await shares(stage(), [1, 2, 1, 0], 40)).toEqual([10, 20, 10, 0]);
      expect(await shares(stage(), [0.25, 0.75], 16)).toEqual([4, 12]);
    });

    line("R1", "a circuit without a route, or with none that gets traffic, answers 503", async () => {
      const status = async (wish: Wish) => (await ask(await stage().open(wish), "/")).head.status;
      expect(await status({})).toBe(503);
      const circuit = { session_ids: [crypto.randomUUID()] };
      expect(await status({ routes: [{ ...localRoute(1, circuit), traffic_ratio: 0 }], circuit })).toBe(503);
    });

    line("R1", "inference goes where the fewest requests are open; ties go in turn", async () => {
      const held = holders(3);
      const to = await stage().open({ upstream: held.map(({ port }) => port), ...INFERENCE });
      const open = async (): Promise<[Wire, Upstream]> => {
        const before = held.map((one) => one.asked.length);
        const wire = await begin(to, "/");
        await finalHead(wire);
        const at = held.findIndex((one, index) => one.asked.length > (before[index] ?? 0));
        return [wire, held[at] ?? never()];
      };
      const first = [await open(), await open(), await open()];
      expect(new Set(first.map(([, app]) => app))).toEqual(new Set(held));
      // One has two fewer than the others now: it gets the next two.
      const second = [await open(), await open(), await open()];
      const [, idle] = first[1] ?? never();
      const leaving = [...first, ...second].filter(([, app]) => app === idle);
      for (const [wire] of leaving) wire.close();
      await until(() => idle.open() === 0);
      // The worker hears of it as soon as the app does.
      const third = [await open(), await open()];
      expect(third.map(([, app]) => app === idle)).toEqual([true, true]);
    });

    line("R1", "an idle inference circuit uses its routes in turn", async () => {
      expect(await shares(stage(), [1, 1, 1], 9, INFERENCE)).toEqual([3, 3, 3]);
    });

    line("R2", "three failed connects in a row take a route out, and its requests go to the others", async () => {
      const [dead, good] = named("dead", "good");
      if (dead === undefined || good === undefined) throw never();
      dead.refuse();
      const to = await stage().open({ upstream: [dead.port, good.port] });
      const routeId = to.circuit.route_info[0]?.route_id;
      const isOut = () => stage().lines.some(({ msg, route }) => /left out/.test(String(msg)) && route === routeId);
      // A GET that could not connect goes to another route: nobody sees the failure.
      expect(await answers(to, 4)).toEqual(["good", "good", "good", "good"]);
      expect(isOut()).toBe(false);
      expect(await answers(to, 2)).toEqual(["good", "good"]);
      await until(isOut);
      dead.accept();
      expect(await answers(to, 6)).toEqual(Array.from({ length: 6 }, () => "good"));
      expect(dead.wires).toEqual([]);
    });

    line("R2", "a success between failures starts the count anew", async () => {
      const [good] = named("good");
      if (good === undefined) throw never();
      const weak = app(async ({ wire }) => {
        await wire.send(answer(200, [["Connection", "close"]], "weak"));
        wire.close();
      });
      const to = await stage().open({ upstream: [weak.port, good.port] });
      for (let round = 0; round < 3; round++) {
        weak.refuse();
        expect(await answers(to, 4)).toEqual(["good", "good", "good", "good"]);
        weak.accept();
        expect((await answers(to, 2)).toSorted()).toEqual(["good", "weak"]);
      }
    });

    line("R2", "the only route is never taken out", async () => {
      const [only] = named("only");
      if (only === undefined) throw never();
      const to = await stage().open({ upstream: only.port });
      only.refuse();
      for (const said of await answers(to, 6)) expect(said).toMatch(/^50[23]$/);
      only.accept();
      expect(await answers(to, 2)).toEqual(["only", "only"]);
    });

    line("R2", "when all are out the one that has been out longest is tried", async () => {
      const apps = named("first", "second", "third");
      const to = await stage().open({ upstream: apps.map(({ port }) => port) });
      for (const one of apps) one.refuse();
      // A request with a body is not tried elsewhere.
      const post = async () => (await ask(to, "/", { method: "POST", body: "x" })).head.status;
      for (let at = 0; at < 9; at++) expect(await post()).toBeGreaterThanOrEqual(500);
      const ids = to.circuit.route_info.map(({ route_id: id }) => id);
      const left = () =>
        stage()
          .lines.filter(({ msg }) => /left out/.test(String(msg)))
          .map(({ route }) => ids.findIndex((id) => id === route))
          .filter((at) => at !== -1);
      await until(() => left().length === 3);
      const out = left().map((at) => apps[at]);
      expect(new Set(left())).toEqual(new Set([0, 1, 2]));
      // Only the second to leave comes back: the first is tried, fails, and goes to the end of the line.
      out[1]?.accept();
      expect(await post()).toBeGreaterThanOrEqual(500);
      expect(await post()).toBe(200);
      expect(await post()).toBe(200);
    });

    line("R2", "a request with a body that could not be sent is not sent elsewhere", async () => {
      const [dead, good] = named("dead", "good");
      if (dead === undefined || good === undefined) throw never();
      dead.refuse();
      const to = await stage().open({ upstream: [dead.port, good.port] });
      const statuses = [];
      for (let at = 0; at < 2; at++) statuses.push((await ask(to, "/", { method: "POST", body: "x" })).head.status);
      expect(statuses.filter((status) => status === 200).length).toBe(1);
      expect(good.asked.length).toBe(1);
    });

    line("R2", "a request whose client has left is not sent elsewhere", async () => {
      const [good] = named("good");
      if (good === undefined) throw never();
      for (const upgrade of [[], handshake()]) {
        // Neither takes the request's connection nor refuses it, until it refuses all.
        const hole = await blackhole();
        const circuit = { session_ids: [crypto.randomUUID()] };
        const routes = [hole, good].map(({ port }) => localRoute(port, circuit));
        const asked = good.asked.length;
        const to = await stage().open({ routes, circuit });
        const client = await dial(to.port);
        await client.send(requestHead(to, "/", { headers: upgrade }));
        await until(() => hole.asking() > 0, 30_000, "the first app to be asked");
        client.reset();
        await Bun.sleep(owed(HEARD_MS));
        hole.stop();
        await until(() => hole.asking() === 0, 30_000, "the first app to have refused, or not to be asked any more");
        // Who comes later and stays goes the same way.
        expect(await answers(to, 1)).toEqual(["good"]);
        expect(good.asked.length).toBe(asked + 1);
      }
    });
  });

  describe("routes with other policies", () => {
    const stage = useStage(shape, {
      sections: { routes: { interactive_policy: "random", inference_policy: "round_robin" } },
    });

    line("R1", "random can be chosen, and keeps to the shares", async () => {
      const [one = 0, other = 0, none] = await shares(stage(), [1, 3, 0], 200);
      expect(none).toBe(0);
      expect(one + other).toBe(200);
      // 50 ± 31: five standard deviations.
      expect(Math.abs(one - 50)).toBeLessThan(31);
    });

    line("R1", "round_robin can be chosen: open requests do not matter then", async () => {
      const held = holders(2);
      const to = await stage().open({ upstream: held.map(({ port }) => port), ...INFERENCE });
      for (let at = 0; at < 8; at++) {
        const wire = await begin(to, "/");
        await finalHead(wire);
        // Every second one ends, always that of the same app.
        if (at % 2 === 0) wire.close();
      }
      expect(held.map((one) => one.asked.length)).toEqual([4, 4]);
    });
  });

  if (shape.place === "spawned") return;
  describe("routes with least_outstanding for people", () => {
    const stage = useStage(shape, { sections: { routes: { interactive_policy: "least_outstanding" } } });

    line("R1", "least_outstanding can be chosen, and weighs the open requests by the shares", async () => {
      const held = holders(2);
      const session_ids = [crypto.randomUUID()];
      const routes = held.map(({ port }, at) => ({ ...localRoute(port, { session_ids }), traffic_ratio: 1 + 2 * at }));
      const to = await stage().open({ routes, circuit: { session_ids } });
      for (let at = 0; at < 8; at++) await finalHead(await begin(to, "/"));
      expect(held.map((one) => one.asked.length)).toEqual([2, 6]);
    });
  });
}

// --- internal ---

/** Apps that begin an answer and never end it. */
function holders(count: number): Upstream[] {
  return Array.from({ length: count }, () =>
    app(async ({ wire }) => {
      await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      await wire.send(chunk("begun"));
      await wire.end(60_000);
      wire.close();
    }),
  );
}

function never(): never {
  throw new Error("cannot be");
}
