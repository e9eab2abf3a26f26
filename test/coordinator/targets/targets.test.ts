/** What the platform may name as a kernel: nothing of the platform's own, and nothing outside of kernel_host_cidrs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { confBody } from "../../support/manager.ts";
import { until } from "../../support/until.ts";
import { service } from "../../support/model-service.ts";

let cluster: Cluster;
/** One whose kernels may be anywhere. */
let wide: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
  wide = await startCluster({ coordinator: { kernel_host_cidrs: ["0.0.0.0/0", "::/0"] } });
});
afterAll(() => Promise.all([cluster.stop(), wide.stop()]));

const outer = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ internal, family }) => !internal && family === "IPv4")?.address;

/** What `POST /v2/conf` says of a kernel. */
async function conf(kernel_host: string, kernel_port: number, at = cluster): Promise<[number, unknown]> {
  const { status, body } = await at.manager.call("POST", "/v2/conf", {
    ...confBody({ kernel_port }),
    kernel_host,
  });
  return [status, body["msg"]];
}

const own = (host: string, port: number) =>
  `kernel_host: wanted a kernel's address, got ${host.includes(":") ? `[${host}]` : host}:${port}, where the platform's own services listen`;

describe("POST /v2/conf refuses", () => {
  test("the coordinator, the worker's API and every port of its circuits, by whatever address of this machine", async () => {
    const { coordinator, worker, ports } = wide;
    const hosts = ["127.0.0.1", "127.3.2.1", "::1", "localhost", ...(outer === undefined ? [] : [outer])];
    for (const port of [Number(new URL(coordinator.baseUrl).port), worker.apiPort, ...ports, 6379])
      for (const host of hosts) expect(await conf(host, port, wide)).toEqual([400, own(host, port)]);
    expect((await conf("127.0.0.1", wide.ports[1] + 1, wide))[0]).toBe(200);
  });

  test("what is outside of kernel_host_cidrs, and names the key", async () => {
    expect(await conf("8.8.8.8", 80)).toEqual([
      400,
      'kernel_host: wanted an address in kernel_host_cidrs, got "8.8.8.8"',
    ]);
  });

  test("nothing else: a name that nobody knows here may be known to the workers", async () => {
    expect((await conf("kernel.no-such-host.invalid", 80))[0]).toBe(200);
  });
});

test("a worker that has ended keeps no kernel away from its ports", async () => {
  const other = await startCluster();
  try {
    const [port] = other.ports;
    expect((await conf("127.0.0.1", port, other))[0]).toBe(400);
    await other.worker.stop();
    await until(async () => {
      const { body } = await other.manager.api("GET", "/api/worker");
      return JSON.stringify(body).includes("TERMINATED");
    });
    expect((await conf("127.0.0.1", port, other))[0]).toBe(200);
  } finally {
    await other.stop();
  }
});

test("nothing is recorded of a refused kernel", async () => {
  const before = (await cluster.manager.api("GET", "/api/circuits")).body;
  await conf("8.8.8.8", 80);
  expect((await cluster.manager.api("GET", "/api/circuits")).body).toEqual(before);
});

test("routes of model services are judged the same, each entry for itself", async () => {
  const [bad, good] = [crypto.randomUUID(), crypto.randomUUID()];
  const port = cluster.worker.apiPort;
  const entries = (kernels: [string, number][]) => ({
    endpoints: [bad, good].map((deployment_id, at) => ({
      deployment_id,
      routes: [
        {
          route_id: crypto.randomUUID(),
          session_id: crypto.randomUUID(),
          kernel_host: kernels[at]?.[0],
          kernel_port: kernels[at]?.[1],
        },
      ],
    })),
  });
  const made = await cluster.manager.api("POST", "/v2/endpoints/bulk", {
    endpoints: [bad, good].map((deployment_id) => ({ deployment_id, ...service() })),
  });
  expect(made.status).toBe(200);
  for (const path of ["/v2/endpoints/bulk/routes", "/v2/endpoints/bulk/routes/register"]) {
    const { body } = await cluster.manager.api("POST", path, entries([["127.0.0.1", port], ["10.0.0.7", 80]])); // prettier-ignore
    expect(body["endpoints"]).toMatchObject([
      { success: false, error: `routes.0.${own("127.0.0.1", port)}` },
      { success: true, error: null },
    ]);
  }
});

test("kernel_host_cidrs lets in what it names, but never what no kernel can be", async () => {
  const statuses = await Promise.all(
    ["203.0.113.9", "8.8.8.8", "169.254.169.254", "::"].map(async (host) => (await conf(host, 80, wide))[0]),
  );
  expect(statuses).toEqual([200, 200, 400, 400]);
});
