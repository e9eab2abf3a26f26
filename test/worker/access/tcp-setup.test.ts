/** `/setup` for a raw TCP circuit: what a person's client is told (wire 7), and which address may connect then. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { SignJWT } from "jose";
import { dial } from "../../contract/client.ts";
import type { Shape } from "../../contract/shapes.ts";
import { startStage, type Opened, type Stage, type Wish } from "../../contract/stage.ts";
import { stopUpstreams } from "../../contract/upstreams.ts";
import { greeter, isLetIn, letIn } from "../../contract/tcp-admission.ts";
import { JWT_SECRET } from "../../support/manager.ts";
import { freeRange } from "../../support/ports.ts";

const SHAPE: Shape = { engine: "serve", frontend: "port", place: "in process" };

let stage: Stage;
afterEach(stopUpstreams);

const open = (wish: Wish = {}) => stage.open({ upstream: greeter().port, protocol: "tcp", ...wish });

interface Told {
  redirect: string;
  redirectURI: string;
  allowed?: { address: string; until: string }[];
}

async function told(answer: Response): Promise<Told> {
  return (await answer.json()) as Told;
}

describe("a worker without a proxy in front", () => {
  beforeAll(async () => void (stage = await startStage(SHAPE, { worker: { protocol: "tcp" } })));
  afterAll(() => stage.stop());

  test("tells where to connect, in the form that the platform's clients read", async () => {
    const to = await open();
    const answer = await letIn(stage, to);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    const { redirect, redirectURI, allowed, ...more } = await told(answer);
    expect([redirectURI, allowed?.map(({ address }) => address), more]).toEqual([redirect, ["127.0.0.1"], {}]);
    const token = new URL(redirect).searchParams.get("auth") ?? "";
    expect(token.split(".").length).toBe(3);
    expect(redirect).toBe(
      `http://localhost:45678/start?directTCP=true&auth=${token}&proto=tcp&gateway=tcp%3A%2F%2F127.0.0.1%3A${to.port}`,
    );
  });

  test("sends a browser there when its token has a redirect, unless it says do-not-redirect", async () => {
    const to = await open();
    const sent = await letIn(stage, to, "", "/lab");
    expect([sent.status, sent.headers.get("cache-control")]).toEqual([302, "no-store"]);
    expect(sent.headers.get("location")).toStartWith("http://localhost:45678/start?directTCP=true&auth=");
    const kept = await letIn(stage, to, "&do-not-redirect=true", "/lab");
    expect(Object.keys(await told(kept))).toEqual(["redirect", "redirectURI", "allowed"]);
    expect(await isLetIn(to.port)).toBe(true);
  });

  test("takes the original's tokens, which have neither exp nor jti, again and again", async () => {
    const to = await open();
    const token = await new SignJWT({ version: "v2", id: "x", circuit: to.circuit.id, redirect: "" })
      .setProtectedHeader({ alg: "HS256" })
      .sign(new TextEncoder().encode(JWT_SECRET));
    const url = `http://127.0.0.1:${stage.apiPort()}/setup?token=${token}`;
    expect([(await fetch(url)).status, (await fetch(url)).status]).toEqual([200, 200]);
  });

  test("refuses inference circuits with 400", async () => {
    const to = await open({ appMode: "inference" });
    expect((await letIn(stage, to)).status).toBe(400);
    expect(await isLetIn(to.port)).toBe(false);
  });

  test("believes no forwarded address", async () => {
    const to = await open();
    await setupFrom(to, "203.0.113.9");
    expect(await isLetIn(to.port)).toBe(true);
  });

  test("lets in who comes right behind the answer", async () => {
    for (let at = 0; at < 10; at++) {
      const to = await open();
      await letIn(stage, to);
      expect(await isLetIn(to.port)).toBe(true);
    }
  });

  test("a public circuit is told of in the same way", async () => {
    const to = await open({ public: true });
    expect((await told(await letIn(stage, to))).redirect).toEndWith(`gateway=tcp%3A%2F%2F127.0.0.1%3A${to.port}`);
  });
});

describe("a worker behind a trusted proxy, with other ports outside", () => {
  beforeAll(async () => {
    const low = await freeRange(2);
    stage = await startStage(SHAPE, {
      worker: {
        protocol: "tcp",
        tls_advertised: true,
        trusted_proxies: ["127.0.0.1"],
        port_proxy: {
          bind_port_range: [low, low + 1],
          advertised_host: "apps.example",
          advertised_port_range: [443, 444],
        },
      },
    });
    bound = low;
  });
  afterAll(() => stage.stop());
  let bound = 0;

  test("tells of the port as it is outside, also when it is a scheme's own", async () => {
    const to = await open({ circuit: { port: 443 } });
    expect((await told(await letIn(stage, to))).redirect).toEndWith("gateway=tcp%3A%2F%2Fapps.example%3A443");
    // 127.0.0.1 is the proxy here; it was let in by itself.
    expect(await isLetIn(bound)).toBe(true);
  });

  test("lets in the address that the proxy tells, not the proxy's", async () => {
    const to = await open({ circuit: { port: 444 } });
    await setupFrom(to, "203.0.113.9");
    expect(await isLetIn(bound + 1)).toBe(false);
    await setupFrom(to, "::ffff:127.0.0.1");
    const wire = await dial(bound + 1);
    expect(await wire.readThrough("hello")).toBe("hello");
  });
});

// --- internal ---

/** A setup by somebody whose address stands in X-Forwarded-For. */
async function setupFrom({ circuit }: Opened, address: string): Promise<void> {
  const token = await new SignJWT({ version: "v2", id: "x", circuit: circuit.id, redirect: "" })
    .setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(JWT_SECRET));
  const answer = await fetch(`http://127.0.0.1:${stage.apiPort()}/setup?token=${token}`, {
    headers: { "X-Forwarded-For": address },
  });
  expect(answer.status).toBe(200);
}
