/** Statistics of a circuit: how often and when it was used, and how long it may stay unused. By a real worker, over a real Redis. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { LIVE_DB } from "../../../shared/live/redis.ts";
import { startApp, type App } from "../../support/app.ts";
import { startCluster, type Cluster } from "../../support/cluster.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { expectProblem } from "../calls/plan.ts";
import { Stage } from "../calls/stage.ts";
import { atEnd } from "../../support/at-end.ts";

const LIFETIME = 100;

describe("statistics", () => {
  let redis: RedisServer;
  let cluster: Cluster;
  let stage: Stage;
  let app: App;
  let live: Redis;

  beforeAll(async () => {
    redis = await startRedis();
    app = startApp();
    cluster = await startCluster({
      redisPort: redis.port,
      coordinator: { unused_circuit_collection_timeout: LIFETIME },
    });
    stage = new Stage(cluster.manager);
    live = new Redis(redis.port, "127.0.0.1", { db: LIVE_DB });
    await until(async () => (await stage.send("isReady", {})).status === 200);
  });
  afterEach(() => stage.clear());
  afterAll(async () => {
    live.disconnect();
    await cluster.stop();
    await redis.stop();
    await app.stop();
  });

  const statistics = (circuit_id: string) => stage.client.getStatistics({ circuit_id });
  /** As a worker would write them. */
  const write = (id: string, access: string, requests: string) =>
    live.mset(`circuit.${id}.last_access`, access, `circuit.${id}.requests`, requests);
  const now = () => Date.now() / 1000;

  test("of a circuit that nobody has used run from its creation, and have all that the circuit has", async () => {
    const circuit = await stage.circuit();
    const { ttl, ...rest } = await statistics(circuit.id);
    expect(rest).toEqual({ ...circuit, requests: 0, last_access: Date.parse(circuit.created_at) });
    expect(ttl).toBeWithin(LIFETIME - 10, LIFETIME + 1);
  });

  test("of one that was used tell how often and when, in milliseconds, and begin anew with each use", async () => {
    const { circuitId, origin, cookie } = await cluster.manager.enter({ kernel_port: app.port });
    const before = (await statistics(circuitId)).requests;
    const start = Date.now();
    for (let at = 0; at < 3; at++) expect((await fetch(origin, { headers: { cookie } })).status).toBe(200);
    const end = Date.now();
    const used = await until(async () => {
      const said = await statistics(circuitId);
      return said.requests === before + 3 && said;
    });
    expect(used.last_access).toBeWithin(start - 1, end + 1);
    expect(used.ttl).toBeWithin(LIFETIME - 10, LIFETIME + 1);
  });

  test("count 64 people at once one by one", async () => {
    const { circuitId, origin, cookie } = await cluster.manager.enter({ kernel_port: app.port });
    await Promise.all(Array.from({ length: 64 }, () => fetch(origin, { headers: { cookie } })));
    await until(async () => (await statistics(circuitId)).requests === 64);
  });

  test("have a ttl that falls, down to 0", async () => {
    const { id } = await stage.circuit();
    const usedAt = now() - 40;
    await write(id, usedAt.toFixed(3), "7");
    const { ttl, requests } = await statistics(id);
    expect(requests).toBe(7);
    // Seconds pass until the answer on a busy machine.
    expect(ttl ?? 0).toBeWithin(Math.floor(LIFETIME - (now() - usedAt)), LIFETIME - 40 + 1);
    await until(async () => ((await statistics(id)).ttl ?? 0) < (ttl ?? 0));
    await write(id, (now() - LIFETIME - 40).toFixed(3), "7");
    expect((await statistics(id)).ttl).toBe(0);
  });

  test("of a model service have no ttl, for nobody collects it", async () => {
    const { circuit } = await stage.endpoint(1);
    await write(circuit.id, "1000.5", "12");
    expect(await statistics(circuit.id)).toMatchObject({ requests: 12, last_access: 1_000_500, ttl: null });
  });

  test("are of one circuit, whose id may be written in capitals", async () => {
    const [one, other] = [await stage.circuit(), await stage.circuit()];
    await write(one.id, "1000", "5");
    expect((await statistics(one.id.toUpperCase())).requests).toBe(5);
    expect((await statistics(other.id)).requests).toBe(0);
    expectProblem(
      await stage.send("getStatistics", { circuit_id: crypto.randomUUID() }),
      "object-not-found",
      "circuit",
    );
  });

  test.each([
    ["a count", "1000", "many"],
    ["a time", "yesterday", "1"],
  ])("go on when somebody has spoilt %s", async (_what, access, requests) => {
    const { id } = await stage.circuit();
    await write(id, access, requests);
    expect((await stage.send("getStatistics", { circuit_id: id })).status).toBe(200);
  });

  test("are 503 while Redis is away, and come back with it", async () => {
    const { id } = await stage.circuit();
    atEnd(() => redis.start());
    await redis.stop();
    const away = await stage.send("getStatistics", { circuit_id: id });
    expectProblem(away, "service-unavailable", "Live data is away; try again");
    expect((await stage.send("getCircuit", { circuit_id: id })).status).toBe(200);
    await redis.start();
    await until(async () => (await stage.send("getStatistics", { circuit_id: id })).status === 200);
    await until(async () => (await stage.send("isReady", {})).status === 200);
  });
});
