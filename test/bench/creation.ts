/**
 * Measures the creation of circuits over HTTP: coordinator, worker and Redis as processes of their own, with the
 * settings of production. One creation is `POST /v2/conf` and `POST /v2/proxy/auth` of a new session.
 * Deleting what was made and checking that it serves are outside of the measured time.
 */
import { startApp } from "../support/app.ts";
import { follow, newKernel, type Manager } from "../support/manager.ts";
import { freeRange } from "../support/ports.ts";
import { startRedis } from "../support/redis.ts";
import { spawnCluster } from "../support/spawned.ts";
import { until } from "../support/until.ts";
import { measure, type Figure, type Load } from "./measure.ts";
import { measureRedis, measureStatus } from "./peers.ts";
import type { Size } from "./size.ts";

export const AIM = "p50 under 5 ms at concurrency 1, over 500 creations per second at concurrency 32, on two cores";

interface Amount {
  /** More than one step makes; each step's circuits are deleted before the next. */
  ports: number;
  loads: readonly Load[];
  /** Until then the services still compile their hot paths: after 100 the figures went on improving by a fifth. */
  warmUp: number;
}

const AMOUNT: Record<Size, Amount> = {
  full: {
    ports: 4000,
    loads: [
      { concurrency: 1, count: 300, maxMs: 20_000 },
      { concurrency: 32, count: 2000, maxMs: 30_000 },
    ],
    warmUp: 500,
  },
  smoke: {
    ports: 100,
    loads: [
      { concurrency: 1, count: 3, maxMs: 20_000 },
      { concurrency: 32, count: 32, maxMs: 20_000 },
    ],
    warmUp: 2,
  },
};
/** The first port that the system may give to the connections of the benchmark itself. */
const PORTS_END = 32_000;

interface Token {
  token: string;
  sessionId: string;
}

interface Created {
  circuitId: string;
  redirectUrl: string;
}

interface Place {
  manager: Manager;
  /** Of the app that the checked circuit leads to. */
  kernelPort: number;
  redisUrl: string;
}

/** Runs it. Rejects when an answer is wrong; times are never a reason. */
export async function benchCreation(size: Size): Promise<Figure[]> {
  const { ports, loads, warmUp } = AMOUNT[size];
  // The helpers' files say "debug"; the environment overrides them, and children inherit it.
  process.env["APP_PROXY_COORDINATOR__LOGGING__LEVEL"] = "info";
  process.env["APP_PROXY_WORKER__LOGGING__LEVEL"] = "info";
  const redis = await startRedis();
  const app = startApp();
  await skipHighPorts(ports);
  // A heartbeat answers with every slot: at the tests' one a second it would be measured too.
  const worker = { heartbeat_period: 10 };
  const cluster = await spawnCluster({ redisPort: redis.port, ports, worker }).catch(async (error: unknown) => {
    await Promise.all([redis.stop(), app.stop()]);
    throw error;
  });
  try {
    const figures: Figure[] = [];
    const place = { manager: cluster.manager, kernelPort: app.port, redisUrl: redis.url };
    for (const load of loads) figures.push(...(await measureAt(load, warmUp, place)));
    return figures;
  } finally {
    await cluster.stop();
    await Promise.all([redis.stop(), app.stop()]);
  }
}

/** The aim against what was measured, and creations in units of the peers. */
export function judge(figures: readonly Figure[]): string {
  const find = (name: string, concurrency: number) =>
    figures.find((one) => one.name.startsWith(name) && one.concurrency === concurrency);
  const [alone, many] = [find("conf + auth", 1), find("conf + auth", 32)];
  if (alone === undefined || many === undefined) return "";
  const reached = alone.p50 < 5 && many.perSecond > 500;
  const ratio = (peer: string, concurrency: number, own: Figure) =>
    `${((find(peer, concurrency)?.perSecond ?? Number.NaN) / own.perSecond).toFixed(1)} × ${peer.slice(6)}`;
  const costs = (concurrency: number, own: Figure) =>
    `${ratio("peer: GET /status", concurrency, own)}, ${ratio("peer: Redis", concurrency, own)} round trip`;
  return [
    `aim: ${AIM}: ${reached ? "reached" : "NOT reached"} (${alone.p50.toFixed(2)} ms, ${many.perSecond} a second)`,
    `a creation costs, by throughput, at concurrency 1: ${costs(1, alone)}; at 32: ${costs(32, many)}`,
  ].join("\n");
}

// --- internal ---

/** `freeRange` goes on from where it was: moves it to where the next long range ends below the system's own ports. */
async function skipHighPorts(ports: number): Promise<void> {
  for (;;) {
    const low = await freeRange(ports);
    if (low + ports >= PORTS_END || low + 2 * ports <= PORTS_END) return;
  }
}

/** All steps at one concurrency. Each starts warm, and its circuits are deleted after it. */
async function measureAt(load: Load, warmUp: number, { manager, kernelPort, redisUrl }: Place): Promise<Figure[]> {
  const conf = () => manager.conf(newKernel());
  const both = async () => auth(manager, await conf());
  // Kernels are each session's own, and nobody is there; one more circuit leads to an app.
  const clear = async (made: readonly Created[]) =>
    clearAll(manager, [...made, await auth(manager, await manager.conf({ kernel_port: kernelPort }))]);
  await clear((await measure("warm-up", { ...load, count: warmUp }, both)).results);

  const confs = await measure("conf", load, conf);
  const auths = await measure("auth", { ...load, count: confs.results.length }, (turn) =>
    auth(manager, confs.results[turn]),
  );
  await clear(auths.results);
  const whole = await measure("conf + auth (a creation)", load, both);
  await clear(whole.results);

  const peers = [await measureStatus(manager.baseUrl, load), await measureRedis(redisUrl, load)];
  return [confs.figure, auths.figure, whole.figure, ...peers];
}

async function auth(manager: Manager, conf: Token | undefined): Promise<Created> {
  if (conf === undefined) throw new Error("no token is left");
  const { status, body } = await manager.auth(conf.token, conf.sessionId, { no_reuse: true });
  const { redirect_url: redirectUrl, circuit_id: circuitId, reuse } = body;
  if (status !== 200 || typeof redirectUrl !== "string" || typeof circuitId !== "string" || reuse !== false)
    throw new Error(`POST /v2/proxy/auth answered ${status}: ${JSON.stringify(body)}`);
  return { circuitId, redirectUrl };
}

/** Checks what was made, deletes it, and waits until the worker has been told. */
async function clearAll(manager: Manager, made: readonly Created[]): Promise<void> {
  if (new Set(made.map(({ circuitId }) => circuitId)).size !== made.length)
    throw new Error("a circuit was given twice");
  const last = made.at(-1);
  if (last !== undefined) await checkServes(last);
  await measure("delete", { concurrency: 16, count: made.length, maxMs: Infinity }, async (turn) => {
    const { status } = await manager.api("DELETE", `/api/circuit/${made[turn]?.circuitId}`);
    if (status !== 200) throw new Error(`DELETE /api/circuit answered ${status}`);
  });
  await until(async () => {
    const { checks } = (await manager.call("GET", "/health/readyz")).body;
    return (checks as Record<string, string>)["unpublished_changes"] === "0";
  });
}

/** Goes in as a person does; the app must tell of the request. */
async function checkServes({ redirectUrl }: Created): Promise<void> {
  const { origin, cookie } = await follow(redirectUrl);
  const answer = await fetch(`${origin}/bench?x=1`, { headers: { cookie } });
  const text = await answer.text();
  if (answer.status !== 200 || (JSON.parse(text) as Record<string, unknown>)["path"] !== "/bench?x=1")
    throw new Error(`the circuit answered ${answer.status}: ${text}`);
}
