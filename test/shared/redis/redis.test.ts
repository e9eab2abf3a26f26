/** Connections to Redis on real servers: which master they find, what they say when there is none, and that they come back. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { Redis } from "ioredis";
import { pino } from "pino";
import { connectRedis, type RedisSettings } from "../../../shared/redis/redis.ts";
import { freePort } from "../../support/ports.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { SERVICE, startSentinel, type SentinelGroup } from "../../support/sentinel.ts";
import { until } from "../../support/until.ts";

const PASSWORD = "uT3xWq8vLr5mKc2z";
const stack = new AsyncDisposableStack();
let group: SentinelGroup;

beforeAll(async () => {
  group = await startSentinel(PASSWORD, { sentinelPassword: true });
  stack.defer(() => group.stop());
}, 120_000);

afterAll(() => stack.disposeAsync());

interface Opened {
  redis: Redis;
  lines: Record<string, unknown>[];
}

/** Opens a connection that is closed at the end; `lines` are what it logs. */
function open(settings: Partial<RedisSettings>): Opened {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "debug" },
    { write: (line: string) => void lines.push(JSON.parse(line) as Opened["lines"][0]) },
  );
  const addr = { host: "127.0.0.1", port: 1 };
  const redis = connectRedis(
    { addr, sentinel: null, service_name: SERVICE, password: "", ...settings },
    2,
    "tester",
    log,
  );
  stack.defer(() => redis.disconnect());
  return { redis, lines };
}

const answers = (redis: Redis) => () => redis.ping().then(() => true, () => false); // prettier-ignore

/** The port of the server that it is connected to. */
async function serverOf(redis: Redis): Promise<number> {
  return Number(/tcp_port:(\d+)/.exec(await redis.info("server"))?.[1]);
}

describe("by Sentinel", () => {
  beforeEach(() => group.heal(), 120_000);

  const sentinels = () => group.sentinels.map((port) => ({ host: "127.0.0.1", port }));
  const settings = () => ({ sentinel: sentinels(), password: PASSWORD });

  test("the master is found, where Sentinels want the password too", async () => {
    const { redis, lines } = open(settings());
    await until(answers(redis));
    expect(await serverOf(redis)).toBe(await group.master());
    expect(lines).toEqual([]);
  });

  test("a wrong service name is told as what it is", async () => {
    const { lines } = open({ ...settings(), service_name: "other" });
    const [line] = await until(() => lines.length > 0 && lines);
    expect(line).toMatchObject({ level: 40, role: "tester", msg: "Redis is away" });
    expect(line?.["sentinel"]).toMatch(
      /^connected to sentinel 127\.0\.0\.1:\d+ successfully, but got an invalid reply: null$/,
    );
  });

  test("a wrong password is told as what it is, and not shown", async () => {
    const { lines } = open({ ...settings(), password: "not-the-password" });
    const [line] = await until(() => lines.length > 0 && lines);
    expect(line?.["sentinel"]).toContain("WRONGPASS");
    expect(JSON.stringify(lines)).not.toContain("not-the-password");
  });

  test("who can't ask any Sentinel begins again until one answers; who was closed meanwhile does not", async () => {
    const [{ redis, lines }, closed] = [open(settings()), open(settings())];
    await Promise.all([until(answers(redis)), until(answers(closed.redis))]);
    const master = await group.master();
    for (const port of group.sentinels) await group.signal(port, "SIGSTOP");
    await group.ask(master, 0, "CLIENT", "KILL", "TYPE", "normal");
    await until(() => lines.some(({ msg }) => msg === "Redis is away") && redis.status === "end");
    closed.redis.disconnect();
    for (const port of group.sentinels) await group.signal(port, "SIGCONT");
    await until(answers(redis));
    expect(lines.map(({ msg }) => msg)).toEqual(["Redis is away", "Redis is back"]);
    expect(closed.redis.status).not.toBe("ready");
  });
});

test("a Sentinel that has missed a failover keeps nobody from the others", async () => {
  const master = await startRedis();
  stack.defer(() => master.stop());
  const [nobody, asked] = [await freePort(), [0, 0]];
  const sentinel = [nobody, master.port].map((port, at) => {
    const server = sentinelThatNames(port, () => void (asked[at] = (asked[at] ?? 0) + 1));
    stack.defer(() => server.stop(true));
    return { host: "127.0.0.1", port: server.port };
  });
  const { redis } = open({ sentinel });
  await until(answers(redis));
  expect([await serverOf(redis), asked]).toEqual([master.port, [1, 1]]);
  // The one whose word was good comes first.
  redis.disconnect(true);
  await until(() => redis.status !== "ready");
  await until(answers(redis));
  expect(asked).toEqual([1, 2]);
});

describe("by address", () => {
  let [first, second] = [] as unknown as [RedisServer, RedisServer];
  let target = 0;
  let address: RedisSettings["addr"];
  let redis: Redis;

  beforeAll(async () => {
    [first, second] = [await startRedis(), await startRedis()];
    stack.defer(() => first.stop());
    stack.defer(() => second.stop());
    address = { host: "127.0.0.1", port: await failoverAddress(() => target) };
  });

  /** A connection to the first server, which then is made a replica without a word; new connections get the second. */
  beforeEach(async () => {
    target = first.port;
    await command(first, ["REPLICAOF", "NO", "ONE"]);
    ({ redis } = open({ addr: address }));
    await until(answers(redis));
    expect(await redis.role()).toContain("master");
    target = second.port;
    await command(first, ["REPLICAOF", "127.0.0.1", String(second.port)]);
  });

  test("a master that was made a replica is left, also by who writes nothing", async () => {
    // INFO is let through a moment before the connection is ready.
    const isMoved = async () => (await serverOf(redis).catch(() => 0)) === second.port && redis.status === "ready";
    await until(isMoved);
    expect(await redis.set("here", "1")).toBe("OK");
  });

  test("a master that was made a replica is left also when the address follows late", async () => {
    const opened = () => redis.info("clients").then(() => redis.stream.localPort);
    target = first.port;
    const before = await opened();
    await until(async () => redis.status === "ready" && (await opened().catch(() => before)) !== before);
    expect(await redis.role()).toContain("slave");
    target = second.port;
    await until(async () => (await serverOf(redis).catch(() => 0)) === second.port);
  });

  test("a master that was made a replica is left at the first write that it refuses", async () => {
    const refused = await redis.set("here", "1").then(String, String);
    expect(refused).toContain("READONLY");
    await until(() => redis.status !== "ready");
    await until(answers(redis));
    expect(await serverOf(redis)).toBe(second.port);
  });
});

// --- internal ---

async function command({ port }: RedisServer, [name = "", ...args]: string[]): Promise<void> {
  const { redis } = open({ addr: { host: "127.0.0.1", port } });
  await until(answers(redis));
  await redis.call(name, ...args);
  redis.disconnect();
}

/** Says of every master that it is there, with RESP as Redis speaks it. */
function sentinelThatNames(port: number, asked: () => void): Bun.TCPSocketListener {
  return Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        for (const command of bytes.toString().split(/(?=\*\d+\r\n)/)) {
          const isQuestion = /get-master-addr-by-name/i.test(command);
          if (isQuestion) asked();
          const named = `*2\r\n$9\r\n127.0.0.1\r\n$${String(port).length}\r\n${port}\r\n`;
          socket.write(isQuestion ? named : "+OK\r\n");
        }
      },
    },
  });
}

/** An address that stands before several servers: each new connection is led to `target`. Gives its port. */
async function failoverAddress(target: () => number): Promise<number> {
  const ends = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(target(), "127.0.0.1");
    for (const [end, other] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.add(end);
      end.pipe(other);
      end.on("error", () => other.destroy());
      end.on("close", () => ends.delete(end));
    }
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  stack.defer(() => {
    server.close();
    for (const end of ends) end.destroy();
  });
  return (server.address() as AddressInfo).port;
}
