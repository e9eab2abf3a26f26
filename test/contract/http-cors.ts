/** H13: the app's own CORS headers win; the worker speaks only for itself. */
import { expect } from "bun:test";
import { ask } from "./client.ts";
import { answer, app, echo, told } from "./upstreams.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";

type Pairs = [name: string, value: string][];

export function httpCors(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H13", "lets the app's own CORS headers win, and adds none", async () => {
    const cors: Pairs = [
      ["Access-Control-Allow-Origin", "https://a.example"],
      ["Access-Control-Allow-Credentials", "true"],
    ];
    const upstream = app(({ head, wire }) => wire.send(answer(200, head.target === "/with" ? cors : [])));
    const to = await stage().open({ upstream: upstream.port });
    const seen = async (target: string) => {
      const { head } = await ask(to, target, { headers: [["Origin", "https://a.example"]] });
      return head.pairs
        .filter(([name]) => /^access-control/i.test(name))
        .map(([name, value]) => [name.toLowerCase(), value]);
    };
    expect((await seen("/with")).toSorted()).toEqual(
      cors.map(([name, value]) => [name.toLowerCase(), value]).toSorted(),
    );
    expect(await seen("/without")).toEqual([]);
  });

  line("H13", "lets answers of a model service be read from anywhere, unless it says who may", async () => {
    const own: Pairs = [["Access-Control-Allow-Origin", "https://a.example"]];
    const upstream = app(({ head, wire }) => wire.send(answer(200, head.target === "/with" ? own : [])));
    const to = await stage().open({ upstream: upstream.port, appMode: "inference", public: true });
    const seen = async (target: string) => (await ask(to, target, { headers: NOBODY })).head.all("access-control-allow-origin"); // prettier-ignore
    expect([await seen("/with"), await seen("/without")]).toEqual([["https://a.example"], ["*"]]);
  });

  line("H13", "lets pages of a listed origin call with credentials, and answers their preflights", async () => {
    const upstream = app(({ head, wire }) =>
      wire.send(answer(200, head.target === "/own" ? [["Access-Control-Allow-Origin", "https://own.example"]] : [])),
    );
    const to = await stage().open({ upstream: upstream.port, circuit: { allowed_origins: LISTED } });
    const call = async (method: string, target: string, headers: Pairs, origin = LISTED) => {
      const { head } = await ask(to, target, { method, headers: [["Origin", origin], ...headers] });
      return [head.status, head.get("access-control-allow-origin"), head.get("access-control-allow-credentials"), head.get("vary") === null ? null : head.all("vary").join(", ")]; // prettier-ignore
    };
    // No browser sends a credential with a preflight.
    const [status, ...cors] = await call("OPTIONS", "/", [...NOBODY, ...PREFLIGHT.slice(1)]);
    expect([status, cors.slice(0, 2)]).toEqual([204, [LISTED, "true"]]);
    expect(cors[2]).toContain("Origin");
    expect(upstream.asked).toHaveLength(0);
    const site: Pairs = [["Sec-Fetch-Site", "cross-site"]];
    expect(await call("POST", "/", site)).toEqual([200, LISTED, "true", "Origin"]);
    expect(await call("GET", "/", site)).toEqual([200, LISTED, "true", "Origin"]);
    expect((await call("GET", "/own", site)).slice(1)).toEqual(["https://own.example", null, null]);
    // A refusal can be read too.
    expect((await call("POST", "/", [...NOBODY, ...site])).slice(0, 3)).toEqual([401, LISTED, "true"]);
    // Others get nothing of it, and caches are told that it depends.
    expect(await call("GET", "/", site, "https://b.example")).toEqual([200, null, null, "Origin"]);
    expect((await call("POST", "/", site, "https://b.example"))[0]).toBe(403);
    expect((await call("OPTIONS", "/", [...NOBODY, ...PREFLIGHT.slice(1)], "https://b.example"))[0]).toBe(401);
  });

  line("H13", "answers CORS for its own errors and its own API", async () => {
    const to = await stage().open({ upstream: echo().port });
    const { head } = await ask(to, "/", {
      headers: [
        ["Cookie", "none=1"],
        ["Origin", "https://a.example"],
      ],
    });
    expect([head.status, head.get("access-control-allow-origin")]).toEqual([401, "*"]);
    const api = await fetch(`http://127.0.0.1:${stage().apiPort()}/status`, {
      headers: { Origin: "https://a.example" },
    });
    expect(api.headers.get("access-control-allow-origin")).toBe("*");
  });

  line("H13", "answers a real preflight on a bearer circuit by itself", async () => {
    const upstream = echo();
    const to = await stage().open({ upstream: upstream.port, appMode: "inference" });
    const { head } = await ask(to, "/v1/chat", { method: "OPTIONS", headers: [...NOBODY, ...PREFLIGHT] });
    expect([head.status >= 200 && head.status < 300, upstream.asked.length]).toEqual([true, 0]);
    expect(head.get("access-control-allow-origin")).not.toBeNull();
    expect(head.get("access-control-allow-headers")).not.toBeNull();
    expect(head.get("access-control-allow-methods")).not.toBeNull();
  });

  line("H13", "asks for the credential of every other OPTIONS", async () => {
    for (const [mode, headers] of [
      ["interactive", PREFLIGHT],
      ["interactive", []],
      ["inference", []],
      ["inference", PREFLIGHT.slice(0, 1)],
      ["inference", PREFLIGHT.slice(1, 2)],
    ] as ["interactive" | "inference", Pairs][]) {
      const upstream = echo();
      const to = await stage().open({ upstream: upstream.port, appMode: mode });
      const { head } = await ask(to, "/", { method: "OPTIONS", headers: [...NOBODY, ...headers] });
      expect([mode, head.status, upstream.asked.length]).toEqual([mode, 401, 0]);
    }
  });

  line("H13", "leaves preflights on public circuits to the app", async () => {
    for (const appMode of ["interactive", "inference"] as const) {
      const to = await stage().open({ upstream: echo().port, appMode, public: true });
      const { body } = await ask(to, "/", { method: "OPTIONS", headers: [...NOBODY, ...PREFLIGHT] });
      expect([appMode, told(body).line]).toEqual([appMode, "OPTIONS / HTTP/1.1"]);
    }
  });

  line("H13", "passes an OPTIONS with its credential to the app", async () => {
    const to = await stage().open({ upstream: echo().port });
    const own: Pairs = [["Origin", `http://${to.host}`], ...PREFLIGHT.slice(1)];
    expect(told((await ask(to, "/", { method: "OPTIONS", headers: own })).body).line).toBe("OPTIONS / HTTP/1.1");
  });
}

// --- internal ---

const NOBODY: Pairs = [["Cookie", "none=1"]];

const LISTED = "https://a.example";

const PREFLIGHT: Pairs = [
  ["Origin", "https://a.example"],
  ["Access-Control-Request-Method", "POST"],
  ["Access-Control-Request-Headers", "authorization"],
];
