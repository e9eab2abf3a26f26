/** `allowed_origins` of /v2/proxy/auth: stored on the circuit, changed where it is, told to its worker. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startCluster, type Cluster } from "../../support/cluster.ts";

const [A, B] = ["http://apps.example:10206", "https://b.example"];

let cluster: Cluster;
let app: Bun.Server<undefined>;
beforeAll(async () => {
  cluster = await startCluster();
  app = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("ok") });
});
afterAll(async () => {
  await cluster.stop();
  await app.stop(true);
});

test("a circuit has the list it was opened with, keeps it, and takes another where it is", async () => {
  const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port ?? 0 });
  const open = async (wish: Record<string, unknown>) => {
    const { body } = await cluster.manager.auth(token, sessionId, wish);
    const circuit = (await cluster.manager.api("GET", `/api/circuit/${String(body["circuit_id"])}`)).body;
    const preflight = await fetch(`http://127.0.0.1:${String(circuit["port"])}/`, {
      method: "OPTIONS",
      headers: { Origin: B, "Access-Control-Request-Method": "POST" },
    });
    return [circuit["id"], body["reuse"], circuit["allowed_origins"], preflight.status];
  };
  const [id, ...first] = await open({ allowed_origins: `${A.toUpperCase()}/, ${A}` });
  expect(first).toEqual([false, A, 401]);
  expect(await open({})).toEqual([id, true, A, 401]);
  // Its worker knows when the answer comes.
  expect(await open({ allowed_origins: `${A},${B}` })).toEqual([id, true, `${A},${B}`, 204]);
  expect(await open({ allowed_origins: "" })).toEqual([id, true, undefined, 401]);
});

test.each(["*", "null", "b.example", `${A},https://b.example/path`])("%p is refused, and named", async (list) => {
  const { token, sessionId } = await cluster.manager.conf({ kernel_port: app.port ?? 0 });
  const { status, body } = await cluster.manager.auth(token, sessionId, { allowed_origins: list });
  expect([status, String(body["msg"])]).toEqual([400, expect.stringContaining("allowed_origins: wanted origins")]);
});
