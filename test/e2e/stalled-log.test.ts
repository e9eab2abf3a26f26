/**
 * Coordinator and worker whose standard output and error are pipes that nobody reads: they answer as ever, and who reads them
 * later is told how many lines there were besides those that were kept.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askFrom, freshAddress } from "../support/from-address.ts";
import { Manager } from "../support/manager.ts";
import { startOutside, type Outside } from "../support/outside.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { ROOT } from "../support/spawned.ts";
import { coordinatorToml, workerToml } from "../support/toml.ts";
import { until } from "../support/until.ts";

const { O_RDONLY, O_NONBLOCK } = constants;
/** Requests under way at once. */
const AT_ONCE = 50;

let redis: RedisServer;
let directory: string;
beforeAll(async () => {
  redis = await startRedis();
  directory = mkdtempSync(join(tmpdir(), "app-proxy-stalled-"));
});
afterAll(async () => {
  await redis.stop();
  rmSync(directory, { recursive: true, force: true });
});

interface Unread {
  process: Outside;
  /** What is in its pipe now. */
  read(): string;
  stop(): Promise<number>;
}

/** Starts a service whose output goes into a pipe of which the other end is held and not read. */
function startUnread(service: "coordinator" | "worker", toml: string): Unread {
  const [file, pipe] = [join(directory, `${service}.toml`), join(directory, `${service}.pipe`)];
  writeFileSync(file, toml);
  Bun.spawnSync(["mkfifo", pipe]);
  const reader = openSync(pipe, O_RDONLY | O_NONBLOCK);
  const command = [process.execPath, join(ROOT, service, "main.ts"), "--config", file];
  const child = startOutside(["sh", "-c", 'exec "$@" >"$0" 2>&1', pipe, ...command], { cwd: directory });
  const bytes = Buffer.alloc(65_536);
  return {
    process: child,
    read() {
      let text = "";
      for (let count = taken(reader, bytes); count > 0; count = taken(reader, bytes)) text += bytes.toString("utf8", 0, count); // prettier-ignore
      return text;
    },
    async stop() {
      child.kill();
      const code = await child.exited;
      closeSync(reader);
      return code;
    },
  };
}

function taken(fd: number, bytes: Buffer): number {
  try {
    return readSync(fd, bytes);
  } catch {
    return 0; // empty now
  }
}

async function inParallel(count: number, call: () => Promise<void>): Promise<void> {
  let next = 0;
  const one = async () => {
    for (let at = next++; at < count; at = next++) await call();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/** The status line for one who comes from an address of their own, and has log lines of their own. */
async function statusFor(port: number, path: string): Promise<string> {
  const answer = await askFrom(freshAddress(), port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`); // prettier-ignore
  return answer.split("\r\n", 1)[0] ?? "";
}

const isWell = (url: string) => fetch(url).then(({ ok }) => ok, () => false); // prettier-ignore

/** Reads all, until it is told what was dropped; gives that number and how many lines there were before it. */
async function readAll(service: Unread): Promise<{ dropped: number; kept: number }> {
  let text = "";
  await until(() => (text += service.read()).endsWith("\n") && text.includes('"dropped":'));
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore
  const at = lines.findIndex((line) => "dropped" in line);
  return { dropped: Number(lines[at]?.["dropped"]), kept: at };
}

test("nobody reads the logs: both services go on, and tell later what was dropped", async () => {
  const [api, own, low] = [await freePort(), await freePort(), await freeRange(4)];
  const coordinator = startUnread("coordinator", coordinatorToml(join(directory, "db.sqlite3"), { redisPort: redis.port, coordinator: { bind_addr: `127.0.0.1:${api}` } })); // prettier-ignore
  await until(() => isWell(`http://127.0.0.1:${api}/health/readyz`), 50_000);
  const worker = startUnread("worker", workerToml(`http://127.0.0.1:${api}`, low, 4, { redisPort: redis.port, worker: { api_bind_addr: `127.0.0.1:${own}` } })); // prettier-ignore
  await until(() => isWell(`http://127.0.0.1:${own}/health/readyz`), 50_000);
  const manager = new Manager(`http://127.0.0.1:${api}`);
  const { origin } = await manager.enter({ kernel_port: 1 });

  const path = `/${"long".repeat(50)}`;
  for (const port of [Number(new URL(origin).port), api]) {
    const answers = new Set<string>();
    await inParallel(5000, async () => void answers.add(await statusFor(port, path)));
    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).toMatch(/^HTTP\/1.1 4/);
  }
  expect(await isWell(`http://127.0.0.1:${api}/health/livez`)).toBe(true);
  expect(await isWell(`http://127.0.0.1:${own}/health/livez`)).toBe(true);

  for (const service of [worker, coordinator]) {
    const { dropped, kept } = await readAll(service);
    expect(dropped).toBeGreaterThan(100);
    // What a pipe and the memory for it take.
    expect(kept).toBeGreaterThan(2000);
  }
  expect(await worker.stop()).toBe(0);
  expect(await coordinator.stop()).toBe(0);
}, 240_000);
