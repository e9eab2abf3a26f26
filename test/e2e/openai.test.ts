/** The chat call with OpenAI's own client, through a model service's circuit that the Manager made, in port and wildcard mode. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI, { APIError, AuthenticationError, NotFoundError } from "openai";
import { createClient, type Client } from "../../shared/client/client.ts";
import { operations } from "../../shared/protocol/operations.ts";
import { freePort } from "../support/ports.ts";
import { startCluster, type Cluster } from "../support/cluster.ts";
import { API_SECRET } from "../support/manager.ts";
import { startModelServer, type ModelServer } from "../support/model-server.ts";
import { until } from "../support/until.ts";

const USER = "f38dea23-50fa-42a0-b5ae-338f5f4693f4";
const QUESTION = "the quick brown fox jumps over the lazy dog";

describe.each(["port", "wildcard"] as const)("in %s mode", (mode) => {
  let cluster: Cluster;
  let coordinator: Client<typeof operations>;
  let servers: ModelServer[];
  let sessions: string[];
  let endpointId: string;
  let url: string;
  let token: string;

  beforeAll(async () => {
    const wildcard = { frontend_mode: "wildcard", wildcard_domain: { domain: ".localhost", bind_addr: `127.0.0.1:${await freePort()}` } }; // prettier-ignore
    cluster = await startCluster({ worker: { ...(mode === "wildcard" ? wildcard : {}), heartbeat_period: 0.2 } });
    servers = [startModelServer(), startModelServer()];
    sessions = servers.map(() => crypto.randomUUID());
    coordinator = createClient(operations, { baseUrl: cluster.coordinator.baseUrl, secret: API_SECRET });
    ({ endpointId, url, token } = await deploy());
  });
  /** What the Manager does for a new model service: endpoint, routes, token. */
  async function deploy(): Promise<{ endpointId: string; url: string; token: string }> {
    const id = crypto.randomUUID();
    const tags = {
      session: { user_uuid: USER, domain_name: "default" },
      endpoint: { id, runtime_variant: "vllm" },
    };
    const health_check = { interval: 0.1, max_retries: 1, initial_delay: 0 };
    const body = { version: "v2", service_name: `Chat ${mode}`, tags, health_check };
    const made = await coordinator.syncEndpoint({ endpoint_id: id, body });
    expect(made.health_check_enabled).toBe(true);
    const routes = servers.map(({ port }, at) => ({
      // Of one session, whichever service leads there: an address is one session's.
      session_id: sessions[at] ?? "",
      route_id: crypto.randomUUID(),
      kernel_host: "127.0.0.1",
      kernel_port: port,
    }));
    const { endpoints } = await coordinator.replaceRoutes({ body: { endpoints: [{ deployment_id: id, routes }] } });
    expect(endpoints).toEqual([{ deployment_id: id, success: true, error: null }]);
    const exp = new Date(Date.now() + 3_600_000).toISOString();
    const minted = await coordinator.mintToken({ endpoint_id: id, body: { user_uuid: USER, exp } });
    return { endpointId: id, url: made.endpoint, token: minted.token };
  }

  afterAll(async () => {
    await cluster.stop();
    for (const server of servers) await server.stop();
  });

  const client = (apiKey = token, at = url) => new OpenAI({ baseURL: `${at}v1`, apiKey, maxRetries: 0 });
  const chat = { model: "echo", messages: [{ role: "user" as const, content: QUESTION }] };

  test("the URL is the frontend's", () => {
    if (mode === "port") expect(url).toBe(`http://127.0.0.1:${cluster.ports[0]}/`);
    else expect(new URL(url).hostname).toBe("chat-wildcard.localhost");
  });

  test("a whole answer", async () => {
    const { choices, usage } = await client().chat.completions.create(chat);
    expect([choices[0]?.message.content, usage?.total_tokens]).toEqual([QUESTION, 2]);
  });

  test("a streamed answer, word by word", async () => {
    const words: string[] = [];
    for await (const { choices } of await client().chat.completions.create({ ...chat, stream: true }))
      if (choices[0]?.delta.content !== undefined) words.push(choices[0].delta.content ?? "");
    expect([words.length, words.join("")]).toEqual([9, QUESTION]);
  });

  test("a list of models, and a path that the server does not know", async () => {
    expect((await client().models.list()).data.map(({ id }) => id)).toEqual(["echo"]);
    expect(await fault(() => client().files.list())).toBeInstanceOf(NotFoundError);
  });

  test("the model server never sees the token", async () => {
    await client().models.list();
    for (const { seenHeaders } of servers) expect(seenHeaders.has("authorization")).toBe(false);
  });

  test("a wrong key is the client's AuthenticationError, and says why", async () => {
    const error = await fault(() => client("sk-wrong").chat.completions.create(chat));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect([error.status, error.type, error.code]).toEqual([401, "authentication_error", "agent_auth_unauthorized"]);
    expect(error.message).toBe("401 E20008: Invalid authorization token (it cannot be read)");
  });

  test("a client that stops reading is heard by the model server", async () => {
    const long = { ...chat, messages: [{ role: "user" as const, content: "word ".repeat(1_000_000) }] };
    const stream = await client().chat.completions.create({ ...long, stream: true });
    for await (const _part of stream) break;
    await until(() => servers.reduce((sum, one) => sum + one.abandoned(), 0) === 1);
  });

  test("a server that says it is not well gets no more questions, and the coordinator's health calls show it", async () => {
    const [ill, well] = servers;
    if (ill === undefined || well === undefined) throw new Error("two servers");
    const statuses = async () =>
      (await coordinator.endpointsHealth({})).endpoints
        .find(({ endpoint_id: id }) => id === endpointId)
        ?.routes.map(({ health_status: status }) => status);
    await until(async () => (await statuses())?.join() === "healthy,healthy");
    ill.health = 503;
    await until(async () => (await statuses())?.join() === "unhealthy,healthy");
    const before = [ill.asked.length, well.asked.length];
    for (let time = 0; time < 6; time++) await client().chat.completions.create(chat);
    expect([ill.asked.length, well.asked.length]).toEqual([before[0] ?? 0, (before[1] ?? 0) + 6]);
    const { summary } = await coordinator.healthSummary({});
    expect(summary).toMatchObject({ unhealthy_routes: 1, unknown_routes: 0 });
    expect(summary.endpoints_with_health_checks).toBe(summary.total_endpoints);
    const all = (await coordinator.listCircuits({ query: {} })).circuits;
    const circuit = all.find(({ endpoint_id: id }) => id === endpointId);
    const { circuits } = await coordinator.circuitHealth({ circuit_id: circuit?.id ?? "" });
    const [seen] = circuits;
    expect([seen?.endpoint_id, seen?.total_routes, seen?.healthy_routes]).toEqual([endpointId, 2, 1]);
    expect(seen?.all_routes[0]).toMatchObject({ kernel_port: ill.port, health_status: "unhealthy" });
    expect(seen?.all_routes[0]?.consecutive_failures).toBeGreaterThan(1);
    expect(seen?.all_routes[0]?.last_health_check).toBeGreaterThan(Date.now() / 1000 - 60);
    ill.health = 200;
    await until(async () => (await statuses())?.join() === "healthy,healthy");
  });

  test("an endpoint that is deleted answers no more, and its token is nobody else's", async () => {
    const other = await deploy();
    const theirs = client(other.token, other.url);
    expect((await theirs.models.list()).data).toHaveLength(1);
    expect((await fault(() => client(other.token).models.list())).message).toContain("E20009");
    await coordinator.deleteEndpoint({ endpoint_id: other.endpointId });
    await until(async () => (await fault(() => theirs.models.list())) instanceof APIError);
    const left = (await coordinator.listCircuits({ query: {} })).circuits.map(({ endpoint_id: id }) => id);
    expect(left).toEqual([endpointId]);
  });
});

/** What a call of the client fails with. */
async function fault(call: () => PromiseLike<unknown>): Promise<APIError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof APIError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}
