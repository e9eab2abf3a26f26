/** Our worker under the original's coordinator: raw TCP, model services, and a worker that believes only signed events. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { API_SECRET, JWT_SECRET } from "../support/manager.ts";
import { routeTo, startOldCoordinator, USER, type OldCoordinator } from "../support/original/coordinator.ts";
import { mint } from "../support/original/tokens.ts";
import { asOldRow, type OldCircuit } from "../support/original/wire.ts";
import { freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { PORTS, startOurWorker, whole, type OurWorker, type OurWorkerSettings } from "./our-worker.ts";
import { echo, echoed, kernel, page, untilPage } from "./stage.ts";

let redis: RedisServer;
let coordinator: OldCoordinator;
let stops: (() => Promise<void>)[];

beforeAll(async () => void (redis = await startRedis()));
afterAll(() => redis.stop());

beforeEach(async () => {
  stops = [];
  await under({});
});

afterEach(async () => {
  for (const stop of stops.toReversed()) await stop();
});

async function under(settings: { ackTimeout?: number }): Promise<void> {
  const secrets = { apiSecret: API_SECRET, jwtSecret: JWT_SECRET };
  coordinator = await startOldCoordinator({ redisPort: redis.port, ...secrets, ...settings });
  const started = coordinator;
  stops.push(() => started.stop());
}

async function ours(settings: Partial<OurWorkerSettings>): Promise<OurWorker> {
  const low = settings.low ?? (await freeRange(PORTS));
  const worker = startOurWorker({ redis, coordinatorUrl: coordinator.url, ...settings, low });
  stops.push(() => worker.stop());
  return whole(worker);
}

function running<T extends { stop: () => Promise<void> }>(one: T): T {
  stops.push(() => one.stop());
  return one;
}

describe("raw TCP", () => {
  beforeEach(async () => void (await ours({ worker: { protocol: "tcp" } })));

  test("is carried for an address that has opened its setup link, and for no other before", async () => {
    const { circuit, link } = await coordinator.openApp({ kernel_port: running(echo()).port, protocol: "tcp" });
    expect(await echoed(circuit.port, "before")).toBeNull();
    const { allowed, ...told } = (await (await fetch(link)).json()) as Record<string, unknown>;
    const token = new URL(link).searchParams.get("token");
    const uri = `http://localhost:45678/start?directTCP=true&auth=${token}&proto=tcp&gateway=tcp%3A%2F%2F127.0.0.1%3A${circuit.port}`;
    expect(told).toEqual({ redirect: uri, redirectURI: uri });
    // Ours, for who reads it.
    expect(allowed).toEqual([{ address: "127.0.0.1", until: expect.any(String) }]);
    expect(await echoed(circuit.port, "after")).toBe("after");
  });

  test("reaches a kernel without a host, which is on the worker's own machine", async () => {
    coordinator.state.writes = asOldRow;
    const { circuit, link } = await coordinator.openApp({ kernel_port: running(echo()).port, protocol: "tcp" });
    await fetch(link);
    expect(await echoed(circuit.port, "hello")).toBe("hello");
  });
});

describe("a model service", () => {
  beforeEach(async () => void (await ours({ worker: { accepted_traffics: ["inference"] } })));

  /** A service that answers with a letter. */
  async function serving(letter: string): Promise<OldCircuit> {
    const circuit = await coordinator.openService({ user_id: null });
    await coordinator.updateRoutes(circuit.id, [routeTo(running(kernel(letter)).port)]);
    return circuit;
  }

  test("without kernels is there and answers 503", async () => {
    const circuit = await coordinator.openService({});
    const authorization = `Bearer ${await coordinator.inferenceToken(circuit)}`;
    expect(await page(circuit.port, { authorization })).toStartWith("503 ");
  });

  test.each(["Bearer", "BackendAI"])("takes the coordinator's token after %s", async (scheme) => {
    const circuit = await serving("a");
    const authorization = `${scheme} ${await coordinator.inferenceToken(circuit)}`;
    await untilPage(circuit.port, { authorization }, "200 a");
  });

  test("lets nobody else in: without a token, with one of another service, with a forged one", async () => {
    const [mine, other] = [await serving("a"), await serving("b")];
    const of = async (token: Promise<string>) => page(mine.port, { authorization: `Bearer ${await token}` });
    expect(await page(mine.port)).toBe("401 E20006: Authorization header not provided");
    expect(await of(coordinator.inferenceToken(other))).toBe("401 E20009: Authorization token mismatch");
    const forged = mint({ id: mine.id, user: USER, exp: Date.now() / 1000 + 60 }, "another-secret-0123456789");
    expect(await of(forged)).toStartWith("401 E20008: Invalid authorization token");
    expect(await page(mine.port, { authorization: "Basic YTpi" })).toStartWith("401 E20007: ");
  });

  test("that is open to the public needs no token", async () => {
    const circuit = await coordinator.openService({ open_to_public: true });
    await coordinator.updateRoutes(circuit.id, [routeTo(running(kernel("a")).port)]);
    await untilPage(circuit.port, {}, "200 a");
  });
});

describe("a worker that believes only signed events", () => {
  beforeEach(() => under({ ackTimeout: 300 }));

  test("does nothing at the original's, and its log says what to configure", async () => {
    const worker = await ours({ acceptUnsigned: false });
    const opening = coordinator.openApp({ kernel_port: running(kernel("a")).port, open_to_public: true });
    expect(await opening.catch(String)).toBe("Error: E10001: Proxy worker not responding");
    expect(worker.lines).toContainEqual(
      expect.objectContaining({ msg: "event dropped", reason: expect.stringContaining("events.accept_unsigned") }),
    );
    expect((await worker.health())["circuits"]).toBe(0);
  });

  test("keeps a circuit that such an event takes away: it has it from the coordinator itself", async () => {
    const low = await freeRange(PORTS);
    const before = await ours({ low });
    const { circuit } = await coordinator.openApp({ kernel_port: running(kernel("a")).port, open_to_public: true });
    await before.stop();
    const worker = await ours({ low, acceptUnsigned: false });
    expect(await page(circuit.port)).toBe("200 a");
    await coordinator.remove(circuit.id);
    await until(() => worker.lines.some(({ msg }) => msg === "event dropped"));
    expect(await page(circuit.port)).toBe("200 a");
  });
});
