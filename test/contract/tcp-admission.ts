/** T2: who may connect over raw TCP. What is refused is closed at once, and the app never sees it. */
import { describe, expect } from "bun:test";
import { Redis } from "ioredis";
import { mintSetupToken } from "../../shared/protocol/jwt.ts";
import { liveKeys } from "../../shared/live/live.ts";
import { LIVE_DB } from "../../shared/live/redis.ts";
import { JWT_SECRET } from "../support/manager.ts";
import { until } from "../support/until.ts";
import { dial } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Opened, Stage, Wish } from "./stage.ts";
import { listen, type Upstream } from "./upstreams.ts";
import { atEnd } from "../support/at-end.ts";
import { owed } from "../support/owed.ts";

/** "at once" means before anything is waited for; a slow machine needs some of it. Milliseconds. */
const AT_ONCE_MS = 5000;

const tcp = (upstream: Upstream, more: Wish = {}): Wish => ({ upstream: upstream.port, protocol: "tcp", ...more });

/** True when an app's greeting comes; false when the connection is closed. */
export async function isLetIn(port: number, hostname?: string): Promise<boolean> {
  const wire = await dial(port, hostname).catch(wasReset);
  if (wire === null) return false;
  await wire.wait(() => wire.received > 0 || wire.ended !== null, "a greeting or the end", owed(AT_ONCE_MS));
  const isIn = wire.received > 0;
  wire.close();
  return isIn;
}

export function greeter(): Upstream {
  return listen((wire) => wire.send("hello"));
}

/** What `/setup` answers to a person with the coordinator's token for a circuit. */
export async function letIn(stage: Stage, { circuit }: Opened, query = "", redirect = ""): Promise<Response> {
  const claims = { id: crypto.randomUUID(), circuit: circuit.id, redirect };
  const token = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now());
  return fetch(`http://127.0.0.1:${stage.apiPort()}/setup?token=${token}${query}`, { redirect: "manual" });
}

/** `open` is a stage with tcp_auth none. */
export function tcpAdmissionSuite(shape: Shape, open: () => Stage): void {
  const line = linesOf(shape);

  describe("TCP with an allowlist", () => {
    const stage = useStage(shape, { worker: { protocol: "tcp" } });

    line("T2", "an address that has not passed /setup is closed at once, and the app sees nothing", async () => {
      const app = greeter();
      const to = await stage().open(tcp(app));
      expect(await isLetIn(to.port)).toBe(false);
      expect(app.wires).toEqual([]);
    });

    line("T2", "an address that has passed /setup may use that circuit, and no other", async () => {
      const app = greeter();
      const [to, other] = [await stage().open(tcp(app)), await stage().open(tcp(app))];
      const said = await letIn(stage(), to);
      const { redirectURI } = (await said.json()) as { redirectURI: string };
      expect(new URL(redirectURI).searchParams.get("gateway")).toBe(`tcp://127.0.0.1:${to.port}`);
      expect([await isLetIn(to.port), await isLetIn(to.port), await isLetIn(other.port)]).toEqual([true, true, false]);
      expect(app.wires.length).toBe(2);
    });

    line("T2", "an address that the list of the circuit does not hold is not let in", async () => {
      const app = greeter();
      const to = await stage().open(tcp(app, { allowedClientIps: "10.0.0.0/8" }));
      expect((await letIn(stage(), to)).status).toBe(403);
      expect(await isLetIn(to.port)).toBe(false);
      expect(app.wires).toEqual([]);
    });

    line("T2", "the address list comes before the allowlist: who was let in is out when the list changes", async () => {
      const app = greeter();
      const to = await stage().open(tcp(app));
      await letIn(stage(), to);
      expect(await isLetIn(to.port)).toBe(true);
      await stage().coordinator.put({ ...to.circuit, allowed_client_ips: "10.0.0.0/8" });
      expect(await isLetIn(to.port)).toBe(false);
      expect(app.wires.length).toBe(1);
    });

    line("T2", "a public circuit needs no allowlist", async () => {
      const to = await stage().open(tcp(greeter(), { public: true }));
      expect(await isLetIn(to.port)).toBe(true);
    });
  });

  describe("TCP with the allowlist of another node", () => {
    const stage = useStage(shape, { redis: true, worker: { protocol: "tcp" } });

    line(
      "T2",
      "a client that leaves while Redis is asked leaves nothing behind, and its app sees nothing",
      async () => {
        const app = greeter();
        const to = await stage().open(tcp(app));
        const client = new Redis(stage().redis?.port ?? 0, "127.0.0.1", { db: LIVE_DB });
        await client.set(liveKeys.allowed(`${to.circuit.id} 127.0.0.1`), "1");
        const before = stage().fds();
        atEnd(() => stage().redis?.signal("SIGCONT"));
        stage().redis?.signal("SIGSTOP");
        const wires = await Promise.all(Array.from({ length: 20 }, () => dial(to.port)));
        for (const wire of wires) wire.reset();
        // A connection of another kind may have come meanwhile.
        await until(() => stage().fds() <= before + 4, 30_000, "the worker to see them leave");
        stage().redis?.signal("SIGCONT");
        expect(await isLetIn(to.port)).toBe(true);
        expect(app.wires.length).toBe(1);
        client.disconnect();
      },
    );
  });

  describe("TCP without an allowlist", () => {
    line("T2", "tcp_auth none lets every address in", async () => {
      expect(await isLetIn((await open().open(tcp(greeter()))).port)).toBe(true);
    });

    line("T2", "the address list still decides, and the app of one that is not in it sees nothing", async () => {
      const app = greeter();
      const closed = await open().open(tcp(app, { allowedClientIps: "10.0.0.0/8", public: true }));
      expect(await isLetIn(closed.port)).toBe(false);
      expect(app.wires).toEqual([]);
      const listed = await open().open(tcp(app, { allowedClientIps: "127.0.0.0/8" }));
      expect(await isLetIn(listed.port)).toBe(true);
    });

    line("T2", "a circuit without a route is closed at once", async () => {
      expect(await isLetIn((await open().open({ protocol: "tcp" })).port)).toBe(false);
    });

    line("T2", "an app that refuses: closed at once", async () => {
      const app = greeter();
      app.stop();
      expect(await isLetIn((await open().open(tcp(app))).port)).toBe(false);
    });

    line("T2", "a connection to an app that refuses goes to another route", async () => {
      const [dead, app] = [greeter(), greeter()];
      dead.stop();
      const to = await open().open({ upstream: [dead.port, app.port], protocol: "tcp" });
      for (let at = 0; at < 6; at++) expect(await isLetIn(to.port)).toBe(true);
    });

    line("T2", "a port without a circuit refuses, also one whose circuit has gone", async () => {
      const to = await open().open(tcp(greeter()));
      const wire = await dial(to.port);
      await open().close(to);
      expect(await wire.end(owed(AT_ONCE_MS))).toBe("reset");
      expect(
        await dial(to.port).then(
          () => "taken",
          () => "refused",
        ),
      ).toBe("refused");
    });
  });
}

// --- internal ---

/** A reset may come before the connect has been told. */
function wasReset(error: unknown): null {
  if (error instanceof Error && "code" in error && error.code === "ECONNRESET") return null;
  throw error;
}
