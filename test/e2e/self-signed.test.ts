/** A worker and a coordinator whose certificate nobody has signed: refused, unless the worker's file says otherwise. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCertificates } from "../support/certificates.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnService } from "../support/spawned.ts";
import { coordinatorToml, workerToml } from "../support/toml.ts";

const stack = new AsyncDisposableStack();
let directory: string;
let redis: RedisServer;
let url: string;

function write(name: string, toml: string): string {
  const file = join(directory, name);
  writeFileSync(file, toml);
  return file;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-self-signed-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const files = startCertificates("coordinator");
  stack.defer(() => files.remove());
  redis = await startRedis();
  stack.defer(() => redis.stop());
  const port = await freePort();
  url = `https://127.0.0.1:${port}`;
  const own = { bind_addr: `127.0.0.1:${port}`, tls_listen: true, tls_cert: files.cert, tls_privkey: files.key };
  const toml = coordinatorToml(join(directory, "db.sqlite3"), { redisPort: redis.port, coordinator: own });
  const coordinator = spawnService("coordinator/main.ts", ["--config", write("coordinator.toml", toml)]);
  stack.defer(async () => void (await coordinator.stop("SIGKILL")));
  await coordinator.said("coordinator is up");
});
afterAll(() => stack.disposeAsync());

async function startWorker(verify: boolean) {
  const settings = { redisPort: redis.port, worker: { verify_coordinator_ssl_certificate: verify } };
  const toml = workerToml(url, await freeRange(2), 2, settings);
  const worker = spawnService("worker/main.ts", ["--config", write(`worker-${verify}.toml`, toml)]);
  stack.defer(async () => void (await worker.stop("SIGKILL")));
  return worker;
}

test("it is refused, and the log says why", async () => {
  const worker = await startWorker(true);
  const { reason } = await worker.said("coordinator unreachable; serving the last known circuits");
  expect(reason).toMatch(/self.signed certificate/i);
});

test("it is accepted with verify_coordinator_ssl_certificate = false", async () => {
  const worker = await startWorker(false);
  await worker.said("circuits are known");
});
