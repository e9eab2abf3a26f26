/**
 * Two coordinators as processes of their own on one database: one is stopped (SIGSTOP) again and again while it writes, so
 * that it may hold the write lock meanwhile. The other answers what needs no lock, and writes as soon as it can.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd } from "../support/at-end.ts";
import { confBody, Manager, newKernel } from "../support/manager.ts";
import { freePort } from "../support/ports.ts";
import { startRedis } from "../support/redis.ts";
import { spawnService, type Service } from "../support/spawned.ts";
import { coordinatorToml } from "../support/toml.ts";

/** So often the lock is to be held by the stopped one, within so many tries. */
const [WANTED, TRIES] = [4, 400];
/** Who has not written by then waits for the lock: a write takes a millisecond or two. Milliseconds. */
const WAITS_MS = 150;
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
  let isOver = false;
  const load = Array.from({ length: 8 }, async () => {
    const answers: number[] = [];
    while (!isOver) answers.push(await write(busy));
    return answers;
  });

  const written: number[] = [];
  let held = 0;
  for (let turn = 0; turn < TRIES && held < WANTED; turn++) {
    // At any moment of the other's work.
    await Bun.sleep(Math.random() * 10);
    stopped.process.kill("SIGSTOP");
    let hasWritten = false;
    const writing = write(other).finally(() => (hasWritten = true));
    await Promise.race([writing, Bun.sleep(WAITS_MS)]);
    if (!hasWritten) held++;
    for (let asked = 0; asked < 5; asked++) expect(await isAlive(other)).toBe(true);
    stopped.process.kill("SIGCONT");
    written.push(await writing);
  }
  isOver = true;
  expect(held).toBe(WANTED);
  expect(written.filter((status) => status !== 200)).toEqual([]);
  expect(new Set((await Promise.all(load)).flat())).toEqual(new Set([200]));
  expect([await write(busy), await write(other)]).toEqual([200, 200]);
});
