/**
 * Two coordinators as processes of their own on one database: one is stopped (SIGSTOP) again and again while it writes, so
 * that it may hold the write lock meanwhile. The other answers what needs no lock, and writes as soon as it can.
 */
import { expect, test } from "bun:test";
import { Database, SQLiteError } from "bun:sqlite";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd } from "../support/at-end.ts";
import { confBody, Manager, newKernel } from "../support/manager.ts";
import { freePort } from "../support/ports.ts";
import { startRedis } from "../support/redis.ts";
import { spawnService, type Service } from "../support/spawned.ts";
import { coordinatorToml } from "../support/toml.ts";
import { until } from "../support/until.ts";

/** So often the lock is to be held by the stopped one, within so many tries. */
const [WANTED, TRIES] = [4, 2000];
/** A process that waits for the lock in its only thread answers nothing for this long, and longer. Milliseconds. */
const FROZEN_MS = 2500;

async function startOne(directory: string, name: string, redisPort: number): Promise<[Manager, Service]> {
  const address = `127.0.0.1:${await freePort()}`;
  const file = join(directory, `${name}.toml`);
  const settings = { redisPort, coordinator: { bind_addr: address } };
  writeFileSync(file, coordinatorToml(join(directory, "db.sqlite3"), settings));
  const service = spawnService("coordinator/main.ts", ["--config", file]);
  atEnd(async () => {
    service.process.kill("SIGCONT");
    await service.stop("SIGKILL");
  });
  await service.said("coordinator is up");
  return [new Manager(`http://${address}`), service];
}

const write = async (manager: Manager) => (await manager.call("POST", "/v2/conf", confBody(newKernel()))).status;

async function isAlive({ baseUrl }: Manager): Promise<boolean> {
  return (await fetch(`${baseUrl}/health/livez`, { signal: AbortSignal.timeout(FROZEN_MS) })).ok;
}

test("one that is stopped with the write lock does not stop the other", async () => {
  const redis = await startRedis();
  atEnd(() => redis.stop());
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-paused-"));
  atEnd(() => rmSync(directory, { recursive: true, force: true }));
  const [busy, stopped] = await startOne(directory, "busy", redis.port);
  const [other] = await startOne(directory, "other", redis.port);
  const database = new Database(join(directory, "db.sqlite3"));
  atEnd(() => database.close());
  let isOver = false;
  atEnd(() => (isOver = true));
  const load = Array.from({ length: 8 }, async () => {
    const answers: number[] = [];
    while (!isOver) answers.push(await write(busy));
    return answers;
  });

  const written: number[] = [];
  for (let turn = 0; turn < TRIES && written.length < WANTED; turn++) {
    // At any moment of its work.
    await Bun.sleep(Math.random() * 10);
    stopped.process.kill("SIGSTOP");
    await until(() => isStopped(stopped.process.pid));
    if (isLocked(database)) {
      const writing = write(other);
      for (let asked = 0; asked < 3; asked++) expect(await isAlive(other)).toBe(true);
      stopped.process.kill("SIGCONT");
      written.push(await writing);
    } else stopped.process.kill("SIGCONT");
  }
  isOver = true;
  expect(written).toEqual(Array.from({ length: WANTED }, () => 200));
  expect(new Set((await Promise.all(load)).flat())).toEqual(new Set([200]));
  expect([await write(busy), await write(other)]).toEqual([200, 200]);
});

function isStopped(pid: number): boolean {
  return / [Tt] /.test(readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\)/s, ""));
}

/** Whether another process has the write lock at this moment. */
function isLocked(database: Database): boolean {
  try {
    database.run("BEGIN IMMEDIATE");
  } catch (error) {
    if (error instanceof SQLiteError && error.code === "SQLITE_BUSY") return true;
    throw error;
  }
  database.run("ROLLBACK");
  return false;
}
