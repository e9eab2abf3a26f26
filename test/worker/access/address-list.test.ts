/** A circuit's address list is asked first, whatever a client wants of the circuit. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startStage, type Stage } from "../../contract/stage.ts";
import { startApp, type App } from "../../support/app.ts";

let stage: Stage;
let app: App;
beforeAll(async () => {
  app = startApp();
  stage = await startStage({ engine: "serve", frontend: "port", place: "in process" });
});
afterAll(async () => {
  await stage.stop();
  await app.stop();
});

const MANIFEST = { "Sec-Fetch-Dest": "manifest", "Sec-Fetch-Site": "same-origin" };
const PREFLIGHT = { Origin: "https://elsewhere.example", "Access-Control-Request-Method": "POST" };

test.each<[string, string, RequestInit & { headers?: Record<string, string> }, boolean, number]>([
  ["a page", "/", {}, true, 200],
  ["a change", "/", { method: "POST", body: "x" }, true, 200],
  ["the way in", "/_appproxy/enter?t=x", {}, false, 401],
  ["a manifest without cookies", "/manifest.json", { headers: MANIFEST }, false, 200],
  ["a preflight of a model service", "/v1/models", { method: "OPTIONS", headers: PREFLIGHT }, false, 204],
])("%s", async (_, path, wanted, withPermit, elsewhere) => {
  const appMode = wanted.method === "OPTIONS" ? "inference" : "interactive";
  const ask = async (list: string) => {
    const to = await stage.open({ upstream: app.port, appMode, allowedClientIps: list });
    const headers = { ...wanted.headers, ...(withPermit ? { Cookie: to.cookie } : {}) };
    const { status } = await fetch(to.url(path), { ...wanted, headers, redirect: "manual" });
    await stage.close(to);
    return status;
  };
  expect([await ask("10.0.0.0/8"), await ask("127.0.0.1")]).toEqual([403, elsewhere]);
});
