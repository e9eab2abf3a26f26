/** H14, H15: what a client is told when there is no app, or none yet. */
import { describe, expect } from "bun:test";
import { until } from "../support/until.ts";
import { ask, begin, type Said } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import type { Shape } from "./shapes.ts";
import { localRoute, type Opened, type Stage, type Wish } from "./stage.ts";
import { app, echo, type Upstream } from "./upstreams.ts";

type Pairs = [name: string, value: string][];

const JSON_ONLY: Pairs = [["Accept", "application/json"]];
const BROWSER: Pairs = [["Accept", "text/html,application/xhtml+xml,*/*;q=0.8"]];
const NAVIGATION: Pairs = [...BROWSER, ["Sec-Fetch-Mode", "navigate"], ["Sec-Fetch-Dest", "document"]];
const SCRIPT: Pairs = [["Accept", "*/*"], ["Sec-Fetch-Mode", "cors"], ["Sec-Fetch-Dest", "empty"]]; // prettier-ignore
const RELOADS = /<meta http-equiv="refresh"/i;

export function httpFailures(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H14", "answers 502 container-connection-refused when the app refuses the connection", async () => {
    const { to } = await gone(stage());
    const { head, body } = await ask(to, "/", { headers: JSON_ONLY });
    expect([head.status, head.get("content-type")]).toEqual([502, "application/problem+json"]);
    expect(JSON.parse(body.bytes.toString())).toMatchObject({
      type: "https://api.backend.ai/probs/appproxy/container-connection-refused",
      error_code: "kernel_access_unreachable",
    });
  });

  line("H14", "answers 503 when there is no route at all", async () => {
    for (const wish of [{ routes: [] }, idleRoute()]) {
      const { head, body } = await ask(await stage().open(wish), "/", { headers: JSON_ONLY });
      expect(head.status).toBe(503);
      expect(JSON.parse(body.bytes.toString())).toMatchObject({
        type: "https://api.backend.ai/probs/service-unavailable",
      });
    }
  });

  line("H14", "answers in JSON or HTML as the client accepts", async () => {
    const { to } = await gone(stage());
    const types: (string | null)[] = [];
    for (const accept of [
      "application/json",
      "application/problem+json, text/plain",
      "*/*",
      "image/avif,*/*;q=0.8",
      "text/html",
      BROWSER[0]?.[1] ?? "",
    ])
      types.push((await ask(to, "/", { headers: [["Accept", accept]] })).head.get("content-type"));
    const [json, html] = ["application/problem+json", "text/html; charset=utf-8"];
    expect(types).toEqual([json, json, json, json, html, html]);
  });

  line(
    "H14",
    "shows a small static page with the app's name, a retry button and an error id, without scripts or internals",
    async () => {
      const { to, upstream } = await gone(stage(), { app: "my-<app>" });
      const { head, body } = await ask(to, "/a/secret?token=secret", { headers: BROWSER });
      const page = body.bytes.toString();
      expect(body.bytes.length).toBeLessThan(4096);
      expect(page).toContain("my-&lt;app&gt;");
      expect(page).toMatch(/<(a|button)[^>]*>Try again</);
      expect(page).toContain(String(head.get("x-error-id")));
      expect(page).not.toMatch(/<script|javascript:|\son\w+=|<link|<img|https?:/i);
      for (const internal of [String(upstream.port), "secret", "ECONN", "Error:", ".ts:", to.circuit.id])
        expect(page).not.toContain(internal);
      expect(head.get("content-security-policy")).toContain("default-src 'none'");
      expect(head.get("cache-control")).toBe("no-store");
    },
  );

  line("H14", "tells an error id that is also in the log, with the cause", async () => {
    const { to, upstream } = await gone(stage());
    for (const headers of [JSON_ONLY, BROWSER]) {
      const id = (await ask(to, "/", { headers })).head.get("x-error-id");
      const logged = await until(() => stage().lines.find((one) => one["error_id"] === id));
      expect(logged).toMatchObject({ circuit: to.circuit.id, status: 502 });
      expect(String(logged["cause"])).toContain(`127.0.0.1:${upstream.port}`);
    }
  });

  line("H14", "tells nobody the app's name who was not let in", async () => {
    const to = await stage().open({ upstream: echo().port, app: "hidden-app" });
    const { head, body } = await ask(to, "/", { headers: [...BROWSER, ["Cookie", "none=1"]] });
    expect([head.status, body.bytes.includes("hidden-app")]).toEqual([401, false]);
  });

  line("H14", "does not hold clients that have left against an app", async () => {
    const [one, other] = [waiting(), waiting()];
    const to = await stage().open({ upstream: [one.port, other.port] });
    const asked = () => one.asked.length + other.asked.length;
    for (let at = 0; at < 12; at++) {
      const client = await begin(to, "/");
      await until(() => asked() === at + 1);
      client.reset();
    }
    expect([one.asked.length > 4, other.asked.length > 4]).toEqual([true, true]);
  });

  line("H15", "shows a navigation a starting page that reloads itself", async () => {
    const { to } = await starting(stage(), { app: "my-app" });
    for (const headers of [NAVIGATION, BROWSER]) {
      const { head, body } = await ask(to, "/", { headers });
      const page = body.bytes.toString();
      expect([head.status, head.get("content-type")]).toEqual([503, "text/html; charset=utf-8"]);
      expect(page).toMatch(RELOADS);
      expect(page).toContain("my-app");
      expect(page).toMatch(/starting/i);
      expect(page).not.toMatch(/<script/i);
    }
  });

  line("H15", "tells a fetch to try again in a second", async () => {
    const { to } = await starting(stage());
    for (const wish of [{ headers: SCRIPT }, { headers: JSON_ONLY }, { headers: SCRIPT, method: "POST", body: "x" }]) {
      const { head, body } = await ask(to, "/", wish);
      expect([head.status, head.get("retry-after"), RELOADS.test(body.bytes.toString())]).toEqual([503, "1", false]);
    }
  });

  line(
    "H15",
    "passes requests as soon as the app listens, and takes it for dead when it stops after that",
    async () => {
      const { to, upstream } = await starting(stage());
      expect((await ask(to, "/", { headers: SCRIPT })).head.status).toBe(503);
      upstream.accept();
      expect((await ask(to, "/")).head.status).toBe(200);
      hangUp(upstream);
      expect(await refusal(to)).toEqual([502, null]);
    },
  );

  line("H15", "does not take an app for starting whose circuit is older than a minute", async () => {
    const { to } = await starting(stage(), { circuit: { created_at: new Date(Date.now() - 61_000).toISOString() } });
    expect(await refusal(to)).toEqual([502, null]);
  });

  line("H15", "does not take an app for starting that accepts and says nothing sensible", async () => {
    const to = await stage().open({ upstream: app(({ wire }) => wire.reset()).port });
    expect(await refusal(to)).toEqual([502, null]);
  });

  if (shape.place === "spawned") return;

  describe("HTTP failures a minute later", () => {
    let later = 0;
    const stage = useStage(shape, { now: () => Date.now() + later });

    line("H15", "takes an app for dead that does not listen after 60 s", async () => {
      const { to } = await starting(stage());
      expect(await refusal(to)).toEqual([503, "1"]);
      later = 59_000;
      expect(await refusal(to)).toEqual([503, "1"]);
      later = 61_000;
      expect(await refusal(to)).toEqual([502, null]);
    });
  });
}

// --- internal ---

async function refusal(to: Opened): Promise<[status: number, retryAfter: string | null]> {
  const { head }: Said = await ask(to, "/", { headers: SCRIPT });
  return [head.status, head.get("retry-after")];
}

/** A circuit whose app has never listened. */
async function starting(stage: Stage, wish: Wish = {}): Promise<{ to: Opened; upstream: Upstream }> {
  const upstream = echo();
  upstream.refuse();
  return { upstream, to: await stage.open({ upstream: upstream.port, ...wish }) };
}

/** A circuit whose app has answered once and does not listen any more. */
async function gone(stage: Stage, wish: Wish = {}): Promise<{ to: Opened; upstream: Upstream }> {
  const upstream = echo();
  const to = await stage.open({ upstream: upstream.port, ...wish });
  await ask(to, "/");
  hangUp(upstream);
  return { to, upstream };
}

/** Ends its connections, those that the worker keeps for later too, and refuses new ones. */
function hangUp(upstream: Upstream): void {
  upstream.refuse();
  for (const wire of upstream.wires) wire.reset();
}

/** A circuit whose only route gets no traffic. */
function idleRoute(): Wish {
  return { routes: [{ ...localRoute(1, { session_ids: [] }), traffic_ratio: 0 }] };
}

/** Takes requests and says nothing. */
function waiting(): Upstream {
  return app(({ wire }) => wire.end());
}
