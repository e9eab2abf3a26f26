/**
 * Ports of a worker's range that another process has: the worker says so at once, the request goes on to another slot, and
 * nobody is given such a port until it is free. Real coordinator, worker and sockets; `circuit_ack_timeout` is so long that
 * a creation which waits for it fails the test.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { startApp } from "../../support/app.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { newKernel } from "../../support/manager.ts";
import { until } from "../../support/until.ts";

const PATIENCE = { coordinator: { circuit_ack_timeout: 100 } };

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function start(ports: number, settings: Parameters<typeof startCluster>[0] = {}): Promise<Cluster> {
  const cluster = await startCluster({ ports, ...PATIENCE, ...settings });
  stack.defer(() => cluster.stop());
  return cluster;
}

/** Another process' listener, for all that the worker can tell. */
function take(port: number, hostname = "127.0.0.1"): { free(): void } {
  const listener = Bun.listen({ hostname, port, exclusive: true, socket: { data: () => undefined } });
  let isFree = false;
  const free = () => {
    if (!isFree) listener.stop(true);
    isFree = true;
  };
  stack.defer(free);
  return { free };
}

async function open({ manager }: Cluster, wish: Record<string, unknown> = {}) {
  const { token, sessionId } = await manager.conf(newKernel());
  const opened = await manager.auth(token, sessionId, wish);
  const id = String(opened.body["circuit_id"]);
  const circuit = opened.status === 200 ? (await manager.api("GET", `/api/circuit/${id}`)).body : {};
  return { ...opened, id, port: Number(circuit["port"]), token, sessionId };
}

interface SlotSeen {
  port: number;
  blocked?: boolean;
  in_use: boolean;
}

async function slots({ manager }: Cluster): Promise<SlotSeen[]> {
  return (await manager.api("GET", "/api/slots?in_use=false")).body["slots"] as SlotSeen[];
}

const blocked = async (cluster: Cluster) =>
  (await slots(cluster)).flatMap((slot) => (slot.blocked === true ? [slot.port] : []));
const workerOf = async ({ manager }: Cluster) =>
  ((await manager.api("GET", "/api/worker")).body["workers"] as Record<string, unknown>[])[0] ?? {};

describe("a port that another process has", () => {
  test("is passed over, and the person sees nothing of it", async () => {
    const cluster = await start(4);
    const [low] = cluster.ports;
    take(low);
    const app = startApp();
    stack.defer(() => app.stop());
    const person = await cluster.manager.enter({ kernel_port: app.port });
    expect(person.reuse).toBe(false);
    expect((await fetch(person.origin, { headers: { Cookie: person.cookie } })).status).toBe(200);
    expect(Number(new URL(person.origin).port)).toBe(low + 1);
  });

  test("is set aside until it is free, and shown", async () => {
    const cluster = await start(3);
    const [low] = cluster.ports;
    const other = take(low);
    const first = await open(cluster);
    expect(await blocked(cluster)).toEqual([low]);
    expect(await workerOf(cluster)).toMatchObject({ available_slots: 1, occupied_slots: 1, blocked_slots: 1 });
    const figures = await (await fetch(`${cluster.manager.baseUrl}/metrics`)).text();
    expect(figures).toMatch(/appproxy_coordinator_blocked_ports\{.*worker="worker-1".*\} 1/);
    expect(await (await fetch(`${cluster.workerApi}/metrics`)).text()).toMatch(
      /appproxy_worker_blocked_ports(\{.*\})? 1/,
    );
    expect(await (await fetch(`${cluster.workerApi}/health/status`)).json()).toMatchObject({ blocked_ports: [low] });
    await cluster.manager.api("DELETE", `/api/circuit/${first.id}`);
    // It would be the next one in turn.
    expect((await open(cluster)).port).toBe(low + 2);
    other.free();
    await until(async () => (await blocked(cluster)).length === 0);
    expect((await open(cluster)).port).toBe(low);
  });

  test("is refused when it is wanted, and given when it is free", async () => {
    const cluster = await start(3);
    const [low] = cluster.ports;
    const other = take(low + 1);
    for (let again = 0; again < 2; again++) {
      const { status, body } = await open(cluster, { port: low + 1 });
      expect({ status, type: body["type"], msg: body["msg"] }).toEqual({
        status: 409,
        type: "https://api.backend.ai/probs/appproxy/port-not-available",
        msg: `port: ${low + 1} can't be opened by worker-1: another process on its machine has it`,
      });
    }
    expect((await cluster.manager.api("GET", "/api/circuits")).body["circuits"]).toEqual([]);
    other.free();
    const opened = await until(async () => {
      const one = await open(cluster, { port: low + 1 });
      return one.status === 200 && one;
    });
    expect(opened.port).toBe(low + 1);
  });

  test("is one of ten of forty, and thirty people come at once: all are let in", async () => {
    const cluster = await start(40);
    const [low] = cluster.ports;
    for (let at = 0; at < 10; at++) take(low + at * 2);
    const all = await Promise.all(Array.from({ length: 30 }, () => open(cluster)));
    expect(all.map(({ status }) => status)).toEqual(all.map(() => 200));
    const ports = new Set(all.map(({ port }) => port));
    expect(ports.size).toBe(30);
    expect([...ports].some((port) => (port - low) % 2 === 0 && port < low + 20)).toBe(false);
    // One more has no place, and is told so.
    const { status, body } = await open(cluster);
    expect([status, body["type"]]).toEqual([503, "https://api.backend.ai/probs/appproxy/worker-not-available"]);
    expect((await cluster.manager.api("GET", "/api/circuits")).body["circuits"]).toHaveLength(30);
  });

  test("is each of them: at once 503, nothing is left behind, and it works when one is free", async () => {
    const cluster = await start(3);
    const [low, high] = cluster.ports;
    const others = [low, low + 1, high].map((port) => take(port));
    for (let again = 0; again < 2; again++) {
      const { status, body } = await open(cluster);
      expect([status, body["type"]]).toEqual([503, "https://api.backend.ai/probs/appproxy/worker-not-available"]);
    }
    expect((await cluster.manager.api("GET", "/api/circuits")).body["circuits"]).toEqual([]);
    expect(await workerOf(cluster)).toMatchObject({ available_slots: 0, blocked_slots: 3 });
    others[1]?.free();
    const opened = await until(async () => {
      const one = await open(cluster);
      return one.status === 200 && one;
    });
    expect(opened.port).toBe(low + 1);
  });

  test("changes all the time, while people come and go: all are let in", async () => {
    // A port that was refused is tried again with the next heartbeat at the earliest: so many that those of a second leave enough.
    const cluster = await start(72);
    const [low] = cluster.ports;
    let over = false;
    /** A neighbour that takes ports and lets them go. */
    const neighbour = (async () => {
      const held = new Map<number, { free(): void }>();
      for (let turn = 0; !over; turn++) {
        const port = low + ((turn * 7) % 72);
        held.get(port)?.free();
        if (held.delete(port)) continue;
        try {
          held.set(port, take(port));
        } catch {
          // The worker has it.
        }
        const [oldest] = held.keys();
        if (held.size > 10 && oldest !== undefined) {
          held.get(oldest)?.free();
          held.delete(oldest);
        }
        await Bun.sleep(3);
      }
      for (const one of held.values()) one.free();
    })();
    const app = startApp();
    stack.defer(() => app.stop());
    const people = Array.from({ length: 6 }, async () => {
      for (let visit = 0; visit < 12; visit++) {
        const { status, id, port } = await open(cluster);
        expect(status).toBe(200);
        // What is told to be served is: a refusal of the worker, not of the kernel's address, is an HTTP answer.
        expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(401);
        await cluster.manager.api("DELETE", `/api/circuit/${id}`);
      }
    });
    await Promise.all(people).finally(() => (over = true));
    await neighbour;
    await until(async () => (await blocked(cluster)).length === 0);
    expect((await cluster.manager.api("GET", "/api/circuits")).body["circuits"]).toEqual([]);
  });
});

describe("a model service", () => {
  const sync = ({ manager }: Cluster, more: Record<string, unknown> = {}, endpoint: Record<string, unknown> = {}) =>
    manager.api("POST", `/v2/endpoints/${crypto.randomUUID()}`, {
      version: "v2",
      service_name: "llama",
      tags: {
        session: { user_uuid: crypto.randomUUID(), project_id: crypto.randomUUID(), domain_name: "default" },
        endpoint: { id: crypto.randomUUID(), runtime_variant: "vllm", ...endpoint },
      },
      open_to_public: true,
      ...more,
    });

  test("goes to another port, also when its URL named a blocked one", async () => {
    const cluster = await start(5);
    const [low] = cluster.ports;
    take(low);
    take(low + 2);
    const first = await sync(cluster);
    expect([first.status, first.body["endpoint"]]).toEqual([200, `http://127.0.0.1:${low + 1}/`]);
    const second = await sync(cluster, {}, { existing_url: `http://127.0.0.1:${low + 2}/` });
    expect([second.status, new URL(String(second.body["endpoint"])).port]).toEqual([200, String(low + 3)]);
  });

  test("is refused when it wants a blocked port, and nothing is left of it", async () => {
    const cluster = await start(3);
    const [low] = cluster.ports;
    take(low + 1);
    const { status, body } = await sync(cluster, { port: low + 1 });
    expect([status, body["type"]]).toEqual([409, "https://api.backend.ai/probs/appproxy/port-not-available"]);
    expect((await cluster.manager.api("GET", "/api/circuits")).body["circuits"]).toEqual([]);
  });
});
