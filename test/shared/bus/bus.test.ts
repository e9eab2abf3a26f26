/** The event bus: one suite that both implementations must pass, then what Redis can do to its own. Real Redis. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import type { Bus } from "../../../shared/bus/bus.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import type { Announcement, AppProxyEvent, CircuitCreated } from "../../../shared/protocol/events.ts";
import { createMemoryBus, MemoryHub } from "../../../shared/bus/memory.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { redisMessengers } from "../../../shared/redis/messengers.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import { circuit, route } from "../../support/values.ts";
import { owed } from "../../support/owed.ts";

const SECRET = "an-api-secret-0123456789";
const CHANNEL = "events_all-appproxy";
const codec = createCodec(SECRET, false);
const trusting = createCodec(SECRET, true);

const common = { source: "appproxy-coordinator", requestId: "req-1" } as const;
const circuits = { target_worker_authority: "w1", circuits: [circuit()], revision: 4, epoch: "e-1" };
const routes = { target_worker_authority: "w1", circuit: circuit(), routes: [route({ kernel_port: 9 })] };
const EVENTS: AppProxyEvent[] = [
  { ...common, name: "appproxy_circuit_created_event", payload: circuits },
  { ...common, name: "appproxy_worker_circuit_added_event", source: "appproxy-worker", payload: circuits },
  { ...common, name: "appproxy_circuit_removed_event", payload: circuits, requestId: null },
  { ...common, name: "appproxy_circuit_route_updated_event", payload: routes },
];

function created(revision: number): CircuitCreated {
  return { ...common, name: "appproxy_circuit_created_event", payload: { ...circuits, revision } };
}

const LOST: Announcement = { name: "worker_lost", payload: { worker_id: "w1", reason: "no heartbeat" } };

/** An event as Python's json.dumps writes it: spaces, no signature. */
function fromPython(revision: number): string {
  const spaced = (value: unknown) => JSON.stringify(value, null, 1).replace(/\n */g, " ");
  return spaced({
    name: "appproxy_circuit_created_event",
    source: "appproxy-coordinator",
    payload: spaced({ ...circuits, revision }),
    metadata: spaced({ request_id: "from-python", user: null, triggered_user: null }),
  });
}

/** What a subscriber heard, without the signatures. */
class Ear {
  readonly events: AppProxyEvent[] = [];
  unknowns = 0;

  event(event: AppProxyEvent): void {
    const payload = Object.fromEntries(Object.entries(event.payload).filter(([key]) => key !== "mac"));
    this.events.push({ ...event, payload } as AppProxyEvent);
  }

  unknown(): void {
    this.unknowns++;
  }

  get revisions(): (number | undefined)[] {
    return this.events.map(({ payload }) => payload.revision);
  }
}

async function listen(bus: Bus): Promise<Ear> {
  const ear = new Ear();
  await bus.subscribe(ear);
  await until(() => bus.healthy());
  return ear;
}

const outcome = (work: Promise<void>) => work.then(() => "done", () => "refused"); // prettier-ignore
const upTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1);
const publishAll = (bus: Bus, revisions: number[]) => Promise.all(revisions.map((one) => bus.publish(created(one))));

/** Somewhere that buses meet. */
interface Place {
  bus(): Bus;
  /** Puts any text where events travel. */
  inject(text: string): Promise<void>;
  announced(): Promise<Announcement[]>;
  stop(): Promise<void>;
}

function memoryPlace(): Promise<Place> {
  const hub = new MemoryHub();
  return Promise.resolve({
    bus: () => createMemoryBus(hub, codec, silentLog()),
    inject: async (text) => {
      for (const listener of hub.listeners) listener(text);
    },
    announced: async () => hub.announcements,
    stop: async () => undefined,
  });
}

/** A service's bus as the services make it. */
function redisBus({ port }: RedisServer, how = codec): Bus {
  const settings = { addr: { host: "127.0.0.1", port }, sentinel: null, service_name: "", password: "" };
  const messengers = redisMessengers(settings, how, silentLog());
  return { ...messengers.bus, close: () => messengers.close() };
}

async function redisPlace(): Promise<Place> {
  const redis = await startRedis();
  const client = new Redis(redis.port, "127.0.0.1", { db: 4 });
  const opened: Bus[] = [];
  return {
    bus: () => opened[opened.push(redisBus(redis)) - 1] as Bus,
    inject: async (text) => void (await client.publish(CHANNEL, text)),
    announced: async () =>
      (await client.xrange("events-appproxy", "-", "+")).map(([, fields]) => ({
        name: fields[1] as Announcement["name"],
        payload: JSON.parse(fields[5] ?? "") as Announcement["payload"],
      })),
    async stop() {
      for (const bus of opened) await bus.close();
      client.disconnect();
      await redis.stop();
    },
  };
}

describe.each([
  ["in memory", memoryPlace],
  ["on Redis", redisPlace],
])("a bus %s", (_name, open) => {
  let place: Place;
  beforeEach(async () => void (place = await open()));
  afterEach(() => place.stop());

  test("lets every subscriber hear every event in order, the publisher too", async () => {
    const publisher = place.bus();
    const ears = [await listen(publisher), await listen(place.bus()), await listen(place.bus())];
    await publishAll(publisher, upTo(500));
    await until(() => ears.every(({ events }) => events.length >= 500));
    expect(ears.map(({ revisions }) => revisions)).toEqual([upTo(500), upTo(500), upTo(500)]);
  });

  test("sends many at once in their order, and among those of others", async () => {
    const [publisher, other] = [place.bus(), place.bus()];
    const ear = await listen(place.bus());
    await until(() => publisher.healthy() && other.healthy());
    const batches = upTo(20).map((at) => upTo(50).map((of) => created(at * 100 + of)));
    const sent = batches.map((batch, at) => (at % 2 === 0 ? publisher : other).publish(...batch));
    await Promise.all(sent);
    await until(() => ear.events.length >= 1000);
    for (const parity of [0, 1]) {
      const mine = batches.filter((_, at) => at % 2 === parity).flat();
      const heard = ear.revisions.filter((one) => Math.floor((one ?? 0) / 100) % 2 !== parity);
      expect(heard).toEqual(mine.map(({ payload }) => payload.revision));
    }
    await publisher.publish();
  });

  test("carries the four kinds of events whole, with the request's id", async () => {
    const bus = place.bus();
    const ear = await listen(bus);
    for (const event of EVENTS) await bus.publish(event);
    await until(() => ear.events.length === EVENTS.length);
    expect(ear.events).toEqual(EVENTS);
  });

  test("drops what is unsigned, forged, broken or another's, and goes on to hear", async () => {
    const bus = place.bus();
    const ear = await listen(bus);
    const stranger = createCodec("another-secret-0123456789", false);
    const other = JSON.stringify({ name: "session_started", source: "manager", payload: "{}", metadata: "{}" });
    for (const text of [fromPython(1), stranger.encode(created(2)), "nonsense", other]) await place.inject(text);
    await place.inject(codec.encode(created(3)));
    await bus.publish(created(4));
    await until(() => ear.events.length >= 2);
    expect(ear.revisions).toEqual([3, 4]);
  });

  test("never calls handlers inside publish", async () => {
    const bus = place.bus();
    let inside = false;
    const heardInside: boolean[] = [];
    await bus.subscribe({ event: () => heardInside.push(inside), unknown: () => undefined });
    await until(() => bus.healthy());
    inside = true;
    const sent = bus.publish(created(1));
    inside = false;
    await sent;
    await until(() => heardInside.length === 1);
    expect(heardInside).toEqual([false]);
  });

  test("delivers nothing once it is closed, and then publishes nothing", async () => {
    const [publisher, closed] = [place.bus(), place.bus()];
    const [heard, missed] = [await listen(publisher), await listen(closed)];
    const sent = publishAll(publisher, upTo(300));
    await closed.close();
    const before = missed.events.length;
    await sent;
    await until(() => heard.events.length === 300);
    await publisher.publish(created(301));
    await until(() => heard.events.length === 301);
    expect(missed.events.length).toBe(before);
    expect(await outcome(closed.publish(created(302)))).toBe("refused");
    await until(() => !closed.healthy());
    await publisher.publish(created(303));
    await until(() => heard.events.length === 302);
    expect(heard.revisions.slice(-2)).toEqual([301, 303]);
  });

  test("keeps announcements for whoever takes them, about 128 of the newest", async () => {
    const bus = place.bus();
    await listen(bus);
    const all = upTo(400).map((at): Announcement => ({
      ...LOST,
      payload: { worker_id: "w1", reason: `reason ${at}` },
    }));
    for (const message of all.slice(0, 3)) await bus.announce(message);
    expect(await place.announced()).toEqual(all.slice(0, 3));
    for (const message of all.slice(3)) await bus.announce(message);
    const kept = await place.announced();
    expect(kept).toEqual(all.slice(-kept.length));
    // Redis drops whole nodes of its list, which hold 100 entries.
    expect(kept.length).toBeWithin(128, 228 + 1);
  });
});

describe("on Redis", () => {
  let redis: RedisServer;
  let client: Redis;
  let buses: Bus[] = [];

  beforeEach(async () => {
    redis = await startRedis();
    client = new Redis(redis.port, "127.0.0.1", { db: 4 });
    client.on("error", () => undefined);
  });

  afterEach(async () => {
    for (const bus of buses) await bus.close();
    buses = [];
    client.disconnect();
    await redis.stop();
  });

  function service(how = codec): Bus {
    const bus = redisBus(redis, how);
    buses.push(bus);
    return bus;
  }

  const subscribers = async () => (await client.pubsub("NUMSUB", CHANNEL))[1];

  test("an event travels on events_all-appproxy as name, source, payload and metadata, all texts", async () => {
    const raw = client.duplicate();
    const texts: unknown[] = [];
    raw.on("message", (channel, text: string) => texts.push([channel, JSON.parse(text)]));
    await raw.subscribe(CHANNEL);
    const bus = service();
    await until(() => bus.healthy());
    await bus.publish(created(7));
    await until(() => texts.length === 1);
    raw.disconnect();
    const payload = JSON.stringify({ ...circuits, revision: 7 });
    expect(texts).toEqual([
      [
        CHANNEL,
        {
          name: "appproxy_circuit_created_event",
          source: "appproxy-coordinator",
          payload: expect.stringMatching(new RegExp(`^${RegExp.escape(payload.slice(0, -1))},"mac":"[0-9a-f]{64}"}$`)),
          metadata: JSON.stringify({ request_id: "req-1", user: null, triggered_user: null }),
        },
      ],
    ]);
  });

  test("an event of the original is heard where that is configured, and elsewhere dropped", async () => {
    const ears = [await listen(service(trusting)), await listen(service())];
    await client.publish(CHANNEL, fromPython(1));
    await client.publish(CHANNEL, codec.encode(created(2)));
    await until(() => ears.every(({ revisions }) => revisions.includes(2)));
    expect(ears.map(({ events }) => events)).toEqual([
      [{ ...created(1), requestId: "from-python" }, created(2)],
      [created(2)],
    ]);
    // A first connection has missed nothing.
    expect(ears.map(({ unknowns }) => unknowns)).toEqual([0, 0]);
  });

  test("an announcement lands in the stream events-appproxy of database 4 with its four fields", async () => {
    const bus = service();
    await until(() => bus.healthy());
    await bus.announce(LOST);
    expect(await client.keys("*")).toEqual(["events-appproxy"]);
    expect((await client.xrange("events-appproxy", "-", "+")).map(([, fields]) => fields)).toEqual([
      [
        "name",
        "worker_lost",
        "source",
        "appproxy-coordinator",
        "payload",
        '{"worker_id":"w1","reason":"no heartbeat"}',
        "metadata",
        '{"request_id":null,"user":null,"triggered_user":null}',
      ],
    ]);
  });

  test("while Redis is away publishing is refused at once; when it is back events are heard by themselves", async () => {
    const bus = service();
    const ear = await listen(bus);
    for (const outage of [1, 2]) {
      await redis.stop();
      const start = performance.now();
      expect(await outcome(bus.publish(created(0)))).toBe("refused");
      expect(await outcome(bus.announce(LOST))).toBe("refused");
      expect(performance.now() - start).toBeLessThan(owed(1000));
      await until(() => !bus.healthy());
      await redis.start();
      await until(() => ear.unknowns === outage);
      await until(() => bus.healthy());
      await bus.publish(created(outage));
      await until(() => ear.events.length === outage);
    }
    expect([ear.revisions, ear.unknowns]).toEqual([[1, 2], 2]);
  });

  test("a subscriber whose connection breaks says that events may be lost, and goes on to hear", async () => {
    const [broken, publisher] = [service(), service()];
    const ear = await listen(broken);
    await until(() => publisher.healthy());
    await client.client("KILL", "TYPE", "PUBSUB");
    expect(await subscribers()).toBe(0);
    await publisher.publish(created(1));
    await until(() => ear.unknowns === 1);
    await publisher.publish(created(2));
    await until(() => ear.events.length === 1);
    expect([ear.revisions, ear.unknowns]).toEqual([[2], 1]);
  });

  test("subscribing while Redis is away resolves when it comes, and loses nothing after that", async () => {
    await redis.stop();
    const bus = service();
    const ear = new Ear();
    let subscribed = false;
    const done = bus.subscribe(ear).then(() => (subscribed = true));
    expect(await outcome(bus.publish(created(0)))).toBe("refused");
    expect([subscribed, bus.healthy()]).toEqual([false, false]);
    await redis.start();
    await done;
    await client.publish(CHANNEL, codec.encode(created(1)));
    await until(() => ear.events.length === 1);
    expect([ear.revisions, ear.unknowns, await subscribers()]).toEqual([[1], 0, 1]);
  });
});
