/** H14 where the address is the fault: what may not be connected to is not, over HTTP and WebSockets; and circles are cut. */
import { describe, expect } from "bun:test";
import { ask, type Said } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import { DOMAIN, type Shape } from "./shapes.ts";
import { localRoute, type Opened, type Stage } from "./stage.ts";
import { app, echo, listen, told } from "./upstreams.ts";
import { handshake } from "./websocket-peer.ts";

const JSON_ONLY: [name: string, value: string][] = [["Accept", "application/json"]];

export function httpTargets(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H14", "never connects to its own listeners, nor to the coordinator: 502 says so", async () => {
    const other = await stage().open({ upstream: echo().port });
    const coordinator = Number(new URL(stage().coordinator.url).port);
    for (const port of [stage().apiPort(), other.port, coordinator]) {
      const to = await stage().open({ upstream: port });
      for (const headers of [JSON_ONLY, [...JSON_ONLY, ...handshake()]]) {
        const { head, body } = await ask(to, "/", { headers });
        expect([port, head.status, JSON.parse(body.bytes.toString())]).toMatchObject([
          port,
          502,
          { msg: "The app's address is not one that apps may have" },
        ]);
      }
    }
  });

  line("H14", "a circuit to its own port asks nobody: its listener gets the one request", async () => {
    // The slot is known only when the circuit is open.
    const to = await stage().open({ upstream: 1 });
    await stage().updateRoutes(to, [to.port]);
    const { head, body } = await ask(to, "/", { headers: JSON_ONLY });
    expect([head.status, JSON.parse(body.bytes.toString())["msg"]]).toEqual([
      502,
      "The app's address is not one that apps may have",
    ]);
  });

  line("H14", "never connects outside of kernel_host_cidrs, and goes to a route that may be connected to", async () => {
    const upstream = echo();
    const to = await stage().open({ routes: [] });
    const away = { ...localRoute(80, to.circuit), kernel_host: "169.254.169.254" };
    await stage().updateRoutes(to, [away]);
    expect((await ask(to, "/", { headers: JSON_ONLY })).head.status).toBe(502);
    await stage().updateRoutes(to, [away, localRoute(upstream.port, to.circuit)]);
    for (let at = 0; at < 4; at++) expect((await ask(to, "/")).head.status).toBe(200);
  });

  line("H14", "a name is connected to by the address that was judged", async () => {
    const upstream = echo();
    const to = await stage().open({ routes: [] });
    await stage().updateRoutes(to, [{ ...localRoute(upstream.port, to.circuit), kernel_host: "localhost" }]);
    const { head, body } = await ask(to, "/");
    expect([head.status, told(body).pairs.find(([name]) => name.toLowerCase() === "host")?.[1]]).toEqual([
      200,
      to.host,
    ]);
  });

  /** An app that asks `next`, as a proxy in an app does: it passes on what it got, to the address under which that is reached. */
  function asking(next: () => Opened | null, seen: (string | null)[] = []) {
    return app(async ({ wire, head }) => {
      const hop = head.get("x-appproxy-hop");
      seen.push(hop);
      const to = next();
      if (to === null) return;
      const headers: [string, string][] = hop === null ? [] : [["X-AppProxy-Hop", hop]];
      const { head: inner }: Said = await ask(to, "/", { headers });
      await wire.send(`HTTP/1.1 ${inner.status} passed on\r\nContent-Length: 0\r\n\r\n`);
    });
  }

  for (const kernel_host of ["127.0.0.1", "localhost"])
    line("H14", `an app at ${kernel_host} that asks itself through its own circuit, again and again, is cut off with 508`, async () => {
      const seen: (string | null)[] = [];
      let to: Opened | null = null;
      const upstream = asking(() => to, seen);
      const circuit = { session_ids: [crypto.randomUUID()] };
      to = await stage().open({ routes: [{ ...localRoute(upstream.port, circuit), kernel_host }], circuit });
      const { head } = await ask(to, "/", { headers: JSON_ONLY });
      expect(head.status).toBe(508);
      // Nothing is seen of it until there are many; a few more passes, and it is over.
      expect(seen.slice(0, 60)).toEqual(Array.from({ length: 60 }, () => null));
      expect(seen.slice(-8)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
      expect(seen.length).toBeLessThan(80);
    }); // prettier-ignore

  line("H14", "two apps that ask each other, again and again, are cut off with 508", async () => {
    const seen: (string | null)[] = [];
    const opened: Opened[] = [];
    const [one, other] = [asking(() => opened[1] ?? null, seen), asking(() => opened[0] ?? null, seen)];
    for (const { port } of [one, other]) opened.push(await stage().open({ upstream: port }));
    const [first] = opened;
    if (first === undefined) throw new Error("no circuit");
    expect((await ask(first, "/", { headers: JSON_ONLY })).head.status).toBe(508);
    expect(seen.length).toBeLessThan(160);
  });

  line("H4", "a client's own X-AppProxy-Hop never reaches an app as it came", async () => {
    const to = await stage().open({ upstream: echo().port });
    const said = async (hop: string) => told((await ask(to, "/", { headers: [["X-AppProxy-Hop", hop]] })).body);
    const names = (await said("1")).pairs.filter(([name]) => name.toLowerCase() === "x-appproxy-hop");
    expect(names.map(([, value]) => value)).toEqual(["2"]);
  });

  line("H14", "what is not connected to has no connection at all", async () => {
    const wires: unknown[] = [];
    const upstream = listen((wire) => wires.push(wire));
    const to = await stage().open({ routes: [] });
    for (const host of ["0.0.0.0", "::", "::ffff:0.0.0.0"]) {
      await stage().updateRoutes(to, [{ ...localRoute(upstream.port, to.circuit), kernel_host: host }]);
      expect((await ask(to, "/", { headers: JSON_ONLY })).head.status).toBe(502);
    }
    expect(wires).toEqual([]);
  });

  if (shape.frontend !== "wildcard" || shape.place === "spawned") return;

  describe("HTTP targets where the system has chosen the port", () => {
    const stage = useStage(shape, { worker: { wildcard_domain: { domain: DOMAIN, bind_addr: "127.0.0.1:0" } } });

    line("H14", "the listener for all names is known by the port that it has", async () => {
      const port = stage().coordinator.registrations.at(-1)?.wildcard_traffic_port ?? 0;
      expect(port).toBeGreaterThan(0);
      const to = await stage().open({ upstream: port });
      const { head, body } = await ask({ ...to, port }, "/", { headers: JSON_ONLY });
      expect([head.status, JSON.parse(body.bytes.toString())["msg"]]).toEqual([
        502,
        "The app's address is not one that apps may have",
      ]);
    });
  });
}
