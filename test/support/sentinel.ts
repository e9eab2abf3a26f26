/**
 * Redis under Sentinel, as real processes on loopback: a master, its replica and three Sentinels that notice soon. Who
 * uses it decides what dies; everything is ended by its own handle.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { startOutside, type Outside } from "./outside.ts";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";

export interface SentinelGroup {
  /** Ports of the two servers. */
  servers: readonly number[];
  /** Ports of the Sentinels. */
  sentinels: readonly number[];
  /** The port of the master, as soon as two Sentinels name the same one, and another than `before`. */
  master(before?: number): Promise<number>;
  /** Sends the server or Sentinel on this port a signal; after SIGKILL it resolves when it has ended. */
  signal(port: number, name: NodeJS.Signals): Promise<void>;
  /** Wakes who sleeps and starts dead servers again, as replicas; resolves when one can be promoted. */
  heal(): Promise<void>;
  /** Asks Sentinel for another master while the present one lives on as its replica; gives the new one's port. */
  failover(): Promise<number>;
  /** A command to the server on this port. */
  ask(port: number, db: number, command: string, ...args: string[]): Promise<unknown>;
  stop(): Promise<void>;
}

export const SERVICE = "mymaster";

/** How long a master may be silent before a Sentinel takes it for dead. Milliseconds; half a second takes busy ones for it. */
const DOWN_AFTER_MS = 1500;
/**
 * How often Sentinels look, and how long one that was stopped keeps out of things. Else a master that steps down goes on
 * as one for 8 s, and a Sentinel that was woken does nothing for 30 s.
 */
const PACE = ["info-period", "1000", "publish-period", "250", "tilt-period", "1000"];
/** Elections and replicas take their time on a busy machine. */
const PATIENCE_MS = 60_000;
/** While a master steps down by order nobody dies: a busy machine's pause must not make the Sentinels go back to it. */
const NOBODY_IS_DOWN_MS = 10 * PATIENCE_MS;

/** `sentinelPassword`: the Sentinels want the servers' password too. */
export async function startSentinel(password: string, { sentinelPassword = false } = {}): Promise<SentinelGroup> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-sentinel-"));
  const processes = new Map<number, Outside>();
  const stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  stack.defer(async () => {
    for (const child of processes.values()) child.kill("SIGKILL");
    await Promise.all([...processes.values()].map((child) => child.exited));
  });
  const common = ["--bind", "127.0.0.1", "--dir", directory, "--save", "", "--repl-diskless-sync-delay", "0"];
  const secret = ["--requirepass", password, "--masterauth", password];
  const server = (of: number | null) => (port: number) => [
    "--port",
    String(port),
    ...common,
    ...secret,
    ...(of === null ? [] : ["--replicaof", "127.0.0.1", String(of)]),
  ];
  const started = (args: (port: number) => string[]) => startSomewhere(args, processes);

  try {
    const first = await started(server(null));
    const second = await started(server(first));
    await until(async () => String(await ask(second, 0, "ROLE")).includes("connected"), PATIENCE_MS, "the replica");
    const sentinels: number[] = [];
    for (let made = 0; made < 3; made++) {
      const file = (port: number) => sentinelFile(directory, port, first, password, sentinelPassword);
      sentinels.push(await started((port) => [file(port), "--sentinel"]));
    }
    const clients = sentinels.map((port) => client(port, sentinelPassword ? password : ""));
    stack.defer(() => clients.forEach((one) => one.disconnect()));
    await Promise.all(clients.map((one) => one.call("SENTINEL", "DEBUG", ...PACE)));
    await isCalm(clients);
    return group([first, second], sentinels, clients);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }

  async function ask(port: number, db: number, command: string, ...args: string[]): Promise<unknown> {
    const one = client(port, password, db);
    try {
      return await one.call(command, ...args);
    } finally {
      one.disconnect();
    }
  }

  function group(servers: number[], sentinels: number[], clients: Redis[]): SentinelGroup {
    const master = (before?: number) => until(() => agreed(clients, before), PATIENCE_MS, "another master");
    return {
      servers,
      sentinels,
      master,
      ask,
      async signal(port, name) {
        const child = processes.get(port);
        child?.kill(name);
        if (name === "SIGKILL") await child?.exited;
      },
      async heal() {
        for (const child of processes.values()) child.kill("SIGCONT");
        await downAfter(clients, DOWN_AFTER_MS);
        const of = await master();
        for (const port of servers)
          if (processes.get(port)?.signalCode === "SIGKILL") await startOn(port, server(of)(port), processes);
        await isCalm(clients);
      },
      async failover() {
        const before = await master();
        await downAfter(clients, NOBODY_IS_DOWN_MS);
        // Refused while an earlier failover ends (INPROG) or no replica is known to be well (NOGOODSLAVE).
        const ordered = () => clients[0]?.call("SENTINEL", "FAILOVER", SERVICE).then(isOk, () => false);
        await until(() => ordered() ?? false, PATIENCE_MS, "Sentinel takes the order");
        const after = await master(before);
        const isReplica = async () => String(await ask(before, 0, "ROLE")).startsWith("slave");
        await until(isReplica, PATIENCE_MS).catch(async () => {
          const views = await Promise.all(clients.map(view));
          throw new Error(`the old master does not serve the new one; the Sentinels see: ${views.join("; ")}`);
        });
        return after;
      },
      stop: () => stack.disposeAsync(),
    };
  }
}

// --- internal ---

function sentinelFile(directory: string, port: number, master: number, password: string, closed: boolean): string {
  const path = join(directory, `sentinel-${port}.conf`);
  const lines = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${directory}`,
    ...(closed ? [`requirepass ${password}`, `sentinel sentinel-pass ${password}`] : []),
    `sentinel monitor ${SERVICE} 127.0.0.1 ${master} 2`,
    `sentinel auth-pass ${SERVICE} ${password}`,
    `sentinel down-after-milliseconds ${SERVICE} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${SERVICE} 3000`,
    `sentinel parallel-syncs ${SERVICE} 1`,
  ];
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** Starts on a port that was free a moment ago; another one when somebody was faster. */
async function startSomewhere(args: (port: number) => string[], processes: Map<number, Outside>): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const port = await freePort();
    try {
      await startOn(port, args(port), processes);
      return port;
    } catch (error) {
      if (attempt >= 5) throw error;
    }
  }
}

async function startOn(port: number, args: string[], processes: Map<number, Outside>): Promise<void> {
  const child = startOutside(["redis-server", ...args]);
  processes.set(port, child);
  await until(
    () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode} on port ${port}`);
      return listens(port);
    },
    PATIENCE_MS,
    `redis-server on port ${port}`,
  );
}

async function listens(port: number): Promise<boolean> {
  try {
    (await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } })).end();
    return true;
  } catch {
    return false; // not yet
  }
}

function client(port: number, password: string, db = 0): Redis {
  const redis = new Redis({ host: "127.0.0.1", port, password, db, commandTimeout: 1000 });
  redis.on("error", () => undefined); // told by the command that it fails
  return redis;
}

/**
 * Resolves when the Sentinels know each other, agree on the master, see nothing wrong with it and a replica that they can
 * promote. A failover that begins earlier is fought over by Sentinels which have not heard of the one before.
 */
async function isCalm(sentinels: Redis[]): Promise<void> {
  const calm = async () => {
    const views = await Promise.all(sentinels.map(view));
    return views.every((one) => one === views[0] && one.endsWith(" master slave ok slave 2"));
  };
  await until(() => calm().catch(() => false), PATIENCE_MS, "Sentinels that agree and see nothing wrong");
}

/** Until the next `heal` a master may be silent for this long. */
async function downAfter(sentinels: Redis[], ms: number): Promise<void> {
  const set = (one: Redis) => one.call("SENTINEL", "SET", SERVICE, "down-after-milliseconds", String(ms));
  await until(() => Promise.all(sentinels.map(set)).catch(() => false), PATIENCE_MS, "Sentinels that can be told");
}

/** What a Sentinel sees in one line: epoch, master's port and flags, the replica's flags, link and role, other Sentinels. */
async function view(sentinel: Redis): Promise<string> {
  const master = (await sentinel.call("SENTINEL", "MASTER", SERVICE)) as string[];
  const [replica = []] = (await sentinel.call("SENTINEL", "REPLICAS", SERVICE)) as string[][];
  const told = (of: string[], name: string) => of[of.indexOf(name) + 1] ?? "";
  return [
    ...["config-epoch", "port", "flags"].map((name) => told(master, name)),
    ...["flags", "master-link-status", "role-reported"].map((name) => told(replica, name)),
    told(master, "num-other-sentinels"),
  ].join(" ");
}

/** The master that most Sentinels name, if it is not `before`. */
async function agreed(sentinels: Redis[], before?: number): Promise<number | null> {
  const named = await Promise.allSettled(
    sentinels.map((one) => one.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE) as Promise<string[]>),
  );
  const ports = named.map((one) => (one.status === "fulfilled" ? Number(one.value[1]) : null));
  const most = ports.find((port) => port !== null && ports.filter((other) => other === port).length >= 2);
  return most === before ? null : (most ?? null);
}

const isOk = (answer: unknown): boolean => answer === "OK";
