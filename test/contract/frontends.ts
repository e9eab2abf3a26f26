/** F1, F2, and F4's own port: where circuits are reached. */
import { describe, expect } from "bun:test";
import { until } from "../support/until.ts";
import { workerConfig } from "../support/values.ts";
import { ask, dial } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import { DOMAIN, type Shape } from "./shapes.ts";
import type { Opened, Stage } from "./stage.ts";
import { answer, answering, app, echo } from "./upstreams.ts";
import { owed } from "../support/owed.ts";

/** F1: "opening one takes under 5 ms". */
const OPENED_MS = 5;

export function frontendsSuite(shape: Shape): void {
  const line = linesOf(shape);

  describe("frontends", () => {
    // A port that could not be opened is tried again with each heartbeat.
    const stage = useStage(shape, { worker: { heartbeat_period: 0.2 } });
    if (shape.frontend === "port") portLines(shape, line, stage);
    else wildcardLines(line, stage);

    line("F4", "has a port of its own, where circuits never come in", async () => {
      const to = await stage().open({ upstream: echo().port });
      const api = `http://127.0.0.1:${stage().apiPort()}`;
      expect(stage().apiPort()).not.toBe(to.port);
      const status = async (path: string, headers: Record<string, string> = {}) =>
        (await fetch(api + path, { headers })).status;
      expect(await status("/health")).toBe(200);
      expect(await status("/health/livez")).toBe(200);
      expect(await status("/health/readyz")).toBe(200);
      expect(await status("/setup")).toBe(400);
      expect(await status("/lab", Object.fromEntries(to.headers()))).toBe(404);
    });

    line("F4", "gives requests 30 s at a stop by default", () => {
      expect(workerConfig().values.proxy_worker.shutdown_timeout).toBe(30);
    });

    line("F4", "leaves its paths to the apps on the circuits' frontends", async () => {
      const upstream = answering(answer(200, [], "the app's own"));
      const to = await stage().open({ upstream: upstream.port });
      for (const path of ["/setup?token=x", "/health", "/status", "/"])
        expect((await ask(to, path)).body.bytes.toString()).toBe("the app's own");
      expect(upstream.asked.length).toBe(4);
    });
  });
}

// --- internal ---

type LineOf = ReturnType<typeof linesOf>;

function portLines(shape: Shape, line: LineOf, stage: () => Stage): void {
  line("F1", "a port listens only while it carries a circuit", async () => {
    const to = await stage().open({ upstream: answering(answer(200, [], "hello")).port });
    expect((await ask(to, "/")).head.status).toBe(200);
    expect(await refuses(to.port + 1)).toBe(true);
    await stage().close(to);
    expect(await refuses(to.port)).toBe(true);
  });

  line("F1", "opening a port takes under 5 ms", async () => {
    const times: number[] = [];
    for (let at = 0; at < 15; at++) times.push(await opening(stage()));
    // The machine's other work is in single ones.
    expect(times.toSorted((a, b) => a - b)[7]).toBeLessThan(owed(OPENED_MS));
  });

  line("F1", "a port that another program has is opened as soon as it is free", async () => {
    const first = await stage().open({ upstream: echo().port });
    const port = first.port + 1;
    const taken = Bun.listen({ hostname: "127.0.0.1", port, exclusive: true, socket: { data: () => undefined } });
    const opened = stage().open({ upstream: answering(answer(200, [], "hello")).port, circuit: { port } });
    await until(() => stage().lines.some(({ msg }) => String(msg).startsWith(`Cannot open port ${port} `)));
    taken.stop(true);
    expect((await ask(await opened, "/")).head.status).toBe(200);
    // That number is used up for the tests after this one.
    await stage().close(await opened);
  });

  describe("a range of 10,000 ports", () => {
    const range = [20_000, 29_999];
    const many = useStage(shape, { worker: { port_proxy: { bind_port_range: range } } });

    line("F1", "costs nothing at the start", () => {
      expect(many().coordinator.registrations[0]?.port_range).toEqual(range);
      // Of a process of its own everything can be seen; the test's has both workers.
      if (shape.place !== "spawned") return;
      // The other worker has 64 ports, and may have circuits.
      expect(many().fds() - stage().fds()).toBeLessThan(4);
      expect(many().rss() - stage().rss()).toBeLessThan(16 * 1024 * 1024);
    });
  });
}

function wildcardLines(line: LineOf, stage: () => Stage): void {
  line(
    "F2",
    "a circuit is found by its label before the domain, in any case, with a trailing dot or any port",
    async () => {
      const upstream = echo();
      const to = await stage().open({ upstream: upstream.port });
      const label = to.circuit.subdomain ?? "";
      const name = label + DOMAIN;
      for (const host of [
        name,
        name.toUpperCase(),
        `${label.toUpperCase()}${DOMAIN}`,
        `${name}.`,
        `${name}:${to.port}`,
        `${name}:1`,
        `${name}.:65535`,
        `${name.toUpperCase()}.:80`,
      ])
        expect([host, await status(to, host)]).toEqual([host, 200]);
    },
  );

  line("F2", "no other name leads to it", async () => {
    const upstream = app(({ wire }) => wire.send(answer(200)));
    const to = await stage().open({ upstream: upstream.port });
    const label = to.circuit.subdomain ?? "";
    for (const host of [
      DOMAIN.slice(1),
      DOMAIN,
      label,
      `${label}.other.test`,
      `x.${label}${DOMAIN}`,
      `${label}${DOMAIN}.evil.test`,
      `${label}${DOMAIN.slice(1)}`,
      `${label}x${DOMAIN.slice(1)}`,
      `${label}${DOMAIN}..`,
      `${label}.${DOMAIN}`,
      `x${label}${DOMAIN}`,
      `${label}x${DOMAIN}`,
      "127.0.0.1",
      `127.0.0.1:${to.port}`,
    ])
      expect([host, await status(to, host)]).toEqual([host, 404]);
    expect(upstream.asked).toEqual([]);
  });

  line("F2", "a forwarded header never chooses the circuit", async () => {
    const upstream = echo();
    const to = await stage().open({ upstream: upstream.port });
    const name = (to.circuit.subdomain ?? "") + DOMAIN;
    expect(await status(to, `other${DOMAIN}`, [["X-Forwarded-Host", name]])).toBe(404);
    expect(upstream.asked).toEqual([]);
  });

  line("F2", "a name whose circuit has gone leads nowhere, while the others stay", async () => {
    const [gone, stays] = [
      await stage().open({ upstream: echo().port }),
      await stage().open({ upstream: echo().port }),
    ];
    await stage().close(gone);
    expect([await status(gone, gone.host), await status(stays, stays.host)]).toEqual([404, 200]);
  });
}

async function status(to: Opened, host: string, more: [string, string][] = []): Promise<number> {
  return (await ask(to, "/", { headers: [["Host", host], ...more] })).head.status;
}

async function refuses(port: number): Promise<boolean> {
  try {
    (await dial(port)).close();
    return false;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ECONNREFUSED") return true;
    throw error;
  }
}

/** Milliseconds from the event to the first connection that is accepted: more than the opening itself. */
async function opening(stage: Stage): Promise<number> {
  const wanted = (await stage.open({ upstream: 1, public: true })).port + 1;
  const start = performance.now();
  const opened = stage.open({ upstream: 1, public: true });
  while (await refuses(wanted)) if (performance.now() - start > 5000) throw new Error(`port ${wanted} stays closed`);
  const taken = performance.now() - start;
  expect((await opened).port).toBe(wanted);
  return taken;
}
