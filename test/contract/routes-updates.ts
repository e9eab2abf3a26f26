/** R3: a circuit's routes change while requests and connections run over them. */
import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../support/until.ts";
import { talk } from "../support/websocket.ts";
import { ask, begin, finalHead } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import { chunk } from "./message.ts";
import { answers, named } from "./routes.ts";
import type { Shape } from "./shapes.ts";
import type { Opened, Stage, Wish } from "./stage.ts";
import { connectPair } from "./tcp.ts";
import { app, type Upstream } from "./upstreams.ts";
import { owed } from "../support/owed.ts";

const INFERENCE = { appMode: "inference", public: true } as const;
/** A connection over a removed route of an interactive circuit is closed within this. Milliseconds. */
const CLOSED_MS = 1000;

export function routeUpdatesSuite(shape: Shape): void {
  const line = linesOf(shape);

  describe("route updates", () => {
    const stage = useStage(shape);

    line("R3", "a request sees the old set or the new one, and none fails", async () => {
      const sets = [named("a", "b"), named("c", "d")];
      const names = ["ab", "cd"];
      const ports = (at: number) => (sets[at % 2] ?? []).map(({ port }) => port);
      const to = await stage().open({ upstream: ports(0), ...INFERENCE });
      let acknowledged = 0;
      let asked = 0;
      let running = true;
      let updating = false;
      const client = async () => {
        for (; running; asked++) {
          // What has been acknowledged before the request began holds for it; what is applied meanwhile may.
          const from = acknowledged;
          const { head, body } = await ask(to, "/");
          expect(head.status).toBe(200);
          const old = acknowledged === from && !updating ? "" : (names[(from + 1) % 2] ?? "");
          expect((names[from % 2] ?? "") + old).toContain(body.bytes.toString());
        }
      };
      const clients = Array.from({ length: 8 }, client);
      for (let update = 1; update <= 20; update++) {
        updating = true;
        await stage().updateRoutes(to, ports(update));
        acknowledged = update;
        updating = false;
        // From now on nobody begins a request to the old set.
        for (const name of await answers(to, 4)) expect(names[update % 2]).toContain(name);
      }
      running = false;
      await Promise.all(clients);
      expect(asked).toBeGreaterThan(100);
    });

    line("R3", "the same host and port with another route_id is a new kernel with a clean record", async () => {
      const [dead, good] = named("dead", "good");
      if (dead === undefined || good === undefined) throw new Error("cannot be");
      dead.refuse();
      const to = await stage().open({ upstream: [dead.port, good.port] });
      expect(await answers(to, 8)).toEqual(Array.from({ length: 8 }, () => "good"));
      dead.accept();
      // The same routes again: its record stays.
      await stage().updateRoutes(to, to.circuit.route_info);
      expect(await answers(to, 2)).toEqual(["good", "good"]);
      await stage().updateRoutes(to, [dead.port, good.port]);
      expect((await answers(to, 4)).toSorted()).toEqual(["dead", "dead", "good", "good"]);
    });

    line("R3", "an HTTP stream over a removed route ends within 1 s on interactive circuits", async () => {
      const { client, stream } = await streaming(stage(), {});
      expect(await client.readThrough("begun")).not.toBeNull();
      await stage().updateRoutes(
        stream.to,
        named("new").map(({ port }) => port),
      );
      await client.end(owed(CLOSED_MS));
      expect(client.text()).not.toEndWith("0\r\n\r\n");
      await until(() => stream.app.open() === 0, owed(CLOSED_MS));
    });

    const SLOW = "an HTTP client that does not read keeps its connection over a removed route for some seconds";
    const unread = "an HTTP stream over a removed route ends for a client that does not read";
    line("R3", `${unread}, within 1 s`, () => unreadStreamEnds(stage(), owed(CLOSED_MS)), { deviation: SLOW });
    line("R3", unread, () => unreadStreamEnds(stage(), 15_000));

    line("R3", "an HTTP stream over a removed route finishes on inference circuits", async () => {
      const { client, stream } = await streaming(stage(), INFERENCE);
      expect(await client.readThrough("begun")).not.toBeNull();
      await stage().updateRoutes(
        stream.to,
        named("new").map(({ port }) => port),
      );
      expect((await ask(stream.to, "/")).body.bytes.toString()).toBe("new");
      await stream.finish();
      expect(await client.readThrough("end")).not.toBeNull();
      expect(await client.readThrough("0\r\n\r\n")).not.toBeNull();
    });

    line(
      "R3",
      "a request that waits for its answer over a removed route is answered at once, with a failure",
      async () => {
        const silent = app(({ wire }) => wire.end(60_000));
        const to = await stage().open({ upstream: silent.port });
        const client = await begin(to, "/");
        await silent.request();
        await stage().updateRoutes(
          to,
          named("new").map(({ port }) => port),
        );
        const start = performance.now();
        expect((await finalHead(client)).status).toBeGreaterThanOrEqual(502);
        expect(performance.now() - start).toBeLessThan(owed(CLOSED_MS));
      },
    );

    line("R3", "a WebSocket over a removed route ends within 1 s on interactive circuits", async () => {
      const upstream = webSocketEcho();
      const to = await stage().open({ upstream: upstream.port });
      const socket = await webSocket(to);
      await stage().updateRoutes(
        to,
        named("new").map(({ port }) => port),
      );
      const start = performance.now();
      await socket.closed;
      expect(performance.now() - start).toBeLessThan(owed(CLOSED_MS));
      await until(() => upstream.open() === 0, owed(CLOSED_MS));
      await upstream.stop();
    });

    line("R3", "a WebSocket over a removed route goes on for inference circuits", async () => {
      const upstream = webSocketEcho();
      const to = await stage().open({ upstream: upstream.port, ...INFERENCE });
      const socket = await webSocket(to);
      await stage().updateRoutes(
        to,
        named("new").map(({ port }) => port),
      );
      socket.send("still here");
      await until(() => socket.heard.includes("still here"));
      socket.close(1000);
      await until(() => upstream.open() === 0);
      await upstream.stop();
    });

    line("R3", "what runs over a removed circuit ends", async () => {
      for (const wish of [{}, INFERENCE]) {
        const { client, stream } = await streaming(stage(), wish);
        expect(await client.readThrough("begun")).not.toBeNull();
        await stage().close(stream.to);
        await client.end(owed(CLOSED_MS));
        await until(() => stream.app.open() === 0, owed(CLOSED_MS));
      }
    });
  });

  if (shape.frontend === "port")
    describe("route updates of TCP circuits", () => {
      const stage = useStage(shape, { worker: { protocol: "tcp", tcp_auth: "none" } });

      line("R3", "a TCP connection over a removed route ends within 1 s on interactive circuits", async () => {
        const { client, app, to } = await connectPair(stage());
        await stage().updateRoutes(to, [1]);
        expect(await client.end(owed(CLOSED_MS))).toBe("reset");
        await app.end(owed(CLOSED_MS));
      });

      line("R3", "a TCP connection over a removed route goes on for inference circuits", async () => {
        const { client, app, to } = await connectPair(stage(), () => undefined, INFERENCE);
        await stage().updateRoutes(to, [1]);
        await client.send("still");
        expect((await app.read(5)).toString()).toBe("still");
        await app.send("here");
        expect((await client.read(4)).toString()).toBe("here");
      });

      line("R3", "a TCP connection that is half closed ends with its route too", async () => {
        const { client, app, to } = await connectPair(stage());
        client.finish();
        await app.end();
        await stage().updateRoutes(to, [1]);
        expect(await client.end(owed(CLOSED_MS))).toBe("reset");
        await until(() => app.closed, owed(CLOSED_MS));
      });
    });
}

// --- internal ---

async function unreadStreamEnds(stage: Stage, ms: number): Promise<void> {
  const upstream = app(async ({ wire }) => {
    await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (;;) await wire.send(chunk("x".repeat(65_536)));
  });
  const to = await stage.open({ upstream: upstream.port });
  const client = await begin(to, "/");
  await finalHead(client);
  client.pause();
  const server = connections(to.port, client.port);
  await until(() => server() > 0);
  await stage.updateRoutes(
    to,
    named("new").map(({ port }) => port),
  );
  await until(() => upstream.open() === 0 && server() === 0, ms);
}

/** The worker's ends of a client's connection that are established: /proc/net/tcp, state 01. */
function connections(port: number, client: number): () => number {
  const hex = (number: number) => `0100007F:${number.toString(16).toUpperCase().padStart(4, "0")}`;
  const row = `${hex(port)} ${hex(client)} 01`;
  return () => readFileSync("/proc/net/tcp", "utf8").split(row).length - 1;
}

interface Stream {
  to: Opened;
  app: Upstream;
  /** Sends the rest of the body. */
  finish(): Promise<void>;
}

/** A client within an answer that has begun. */
async function streaming(stage: Stage, wish: Wish) {
  const rest = Promise.withResolvers<void>();
  const upstream = app(async ({ wire }) => {
    await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    await wire.send(chunk("begun"));
    await rest.promise;
    await wire.send(Buffer.concat([chunk("end"), chunk("")]));
  });
  const to = await stage.open({ upstream: upstream.port, ...wish });
  const stream: Stream = {
    to,
    app: upstream,
    async finish() {
      rest.resolve();
      await rest.promise;
    },
  };
  return { client: await begin(to, "/"), stream };
}

function webSocket(to: Opened) {
  return talk(to.url("/").replace("http", "ws"), { headers: { Host: to.host, Cookie: to.cookie } });
}

function webSocketEcho(): { port: number; open(): number; stop(): Promise<void> } {
  let open = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no", { status: 400 })),
    websocket: {
      open: () => void open++,
      message: (socket, message) => void socket.send(message),
      close: () => void open--,
    },
  });
  return { port: server.port ?? 0, open: () => open, stop: () => server.stop(true) };
}
