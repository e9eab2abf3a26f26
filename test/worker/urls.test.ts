/** A circuit whose name can't stand under the worker's domain, as an older coordinator may have given it: real sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mintSetupToken } from "../../shared/protocol/jwt.ts";
import { ENTER_PATH } from "../../worker/access/enter.ts";
import { startStage, type Opened, type Stage } from "../contract/stage.ts";
import { JWT_SECRET } from "../support/manager.ts";
import { freePort } from "../support/ports.ts";

/** From right to left, which makes the whole name one in which no label may begin with a digit. */
const LABEL = "xn--9dbne9b";
const DOMAIN = ".2apps.test";

describe.each(["serve", "sockets"] as const)("with the engine %s", (engine) => {
  let stage: Stage;
  let app: Bun.Server<undefined>;
  let port: number;

  beforeAll(async () => {
    port = await freePort();
    app = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("here") });
    stage = await startStage(
      { engine, frontend: "wildcard", place: "in process" },
      { worker: { wildcard_domain: { domain: DOMAIN, bind_addr: `127.0.0.1:${port}` } } },
    );
  });
  afterAll(async () => {
    await stage.stop();
    await app.stop(true);
  });

  async function setup(opened: Opened, headers: Record<string, string> = {}): Promise<Response> {
    const claims = { id: crypto.randomUUID(), circuit: opened.circuit.id, redirect: "/lab" };
    const token = await mintSetupToken(claims, JWT_SECRET, crypto.randomUUID(), Date.now());
    return fetch(`http://127.0.0.1:${stage.apiPort()}/setup?token=${token}`, { redirect: "manual", headers });
  }

  test.each([
    ["of a new slot", {}, {}],
    [
      "of a slot that another had, in a browser",
      { recycled_at: new Date().toISOString() },
      { "Sec-Fetch-Mode": "navigate" },
    ],
  ])("its link %s leads there all the same", async (_what, circuit, headers) => {
    const opened = await stage.open({ upstream: app.port ?? 0, circuit: { subdomain: LABEL, ...circuit } });
    const answer = await setup(opened, headers);
    expect([answer.status, answer.headers.get("location")?.split("?")[0]]).toEqual([
      302,
      `http://${LABEL}${DOMAIN}:${port}${ENTER_PATH}`,
    ]);
    await stage.close(opened);
  });

  test("it is served to programs that can go there", async () => {
    const opened = await stage.open({ upstream: app.port ?? 0, circuit: { subdomain: LABEL } });
    for (const host of [`${LABEL}${DOMAIN}`, `${LABEL}${DOMAIN}:${port}`]) {
      const asked = (headers: Record<string, string>) =>
        fetch(`http://127.0.0.1:${port}/`, {
          method: "POST",
          headers: { Host: host, Cookie: opened.cookie, ...headers },
        });
      expect((await asked({})).status).toBe(200);
      expect((await asked({ Origin: "http://elsewhere.example" })).status).toBe(403);
    }
    await stage.close(opened);
  });
});
