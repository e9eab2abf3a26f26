/**
 * A coordinator that may open few files, as a real process under `ulimit -n`: whoever is silent on more connections than there are
 * files for, others are answered meanwhile, and no call that is under way is cut.
 */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dial } from "../contract/client.ts";
import { closeWires, type Wire } from "../contract/wire.ts";
import { atEnd } from "../support/at-end.ts";
import { API_SECRET, Manager, newKernel } from "../support/manager.ts";
import { owed } from "../support/owed.ts";
import { freePort } from "../support/ports.ts";
import { startRedis } from "../support/redis.ts";
import { portRegistration } from "../support/rows.ts";
import { spawnService } from "../support/spawned.ts";
import { coordinatorToml } from "../support/toml.ts";
import { until } from "../support/until.ts";

const FILES = 200;
const MS = 120_000;
/** Longer than a look at the files takes to come. */
const STAYS_MS = 4000;

/** So often that nobody is quiet in between. Milliseconds. */
const DRIP_MS = 50;
/** Less than a body may take to come, on a quiet machine. */
const ANSWER_MS = 5000;

afterEach(closeWires);

/** Calls of every kind of end, after each of which its caller is silent. */
const CALLS = [
  "GET /health/livez",
  "HEAD /health",
  "GET /nothing",
  "OPTIONS /v2/proxy/auth",
  "POST /api/worker",
  "POST /v2/conf",
  `GET /api/circuit?limit=x HTTP/1.1\r\nX-BackendAI-Token: ${API_SECRET}`,
  `POST /api/circuits HTTP/1.1\r\nX-Method-Override: GET\r\nX-BackendAI-Token: ${API_SECRET}`,
  "POST /api/circuits HTTP/1.1\r\nX-Method-Override: GET",
].map((line) =>
  line.includes("\r\n") ? line.replace("\r\n", "\r\nHost: 127.0.0.1\r\n") : `${line} HTTP/1.1\r\nHost: 127.0.0.1`,
);

async function start() {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-few-"));
  const redis = await startRedis();
  const port = await freePort();
  const coordinator = { bind_addr: `127.0.0.1:${port}`, circuit_ack_timeout: STAYS_MS / 1000 };
  const file = join(directory, "coordinator.toml");
  writeFileSync(file, coordinatorToml(join(directory, "db.sqlite3"), { redisPort: redis.port, coordinator }));
  const service = spawnService("coordinator/main.ts", ["--config", file], { files: FILES });
  atEnd(async () => {
    await service.stop("SIGKILL");
    await redis.stop();
    rmSync(directory, { recursive: true });
  });
  await service.said("coordinator is up");
  return { port, service, manager: new Manager(`http://127.0.0.1:${port}`) };
}

/** Silent ones; a coordinator that has no file for them takes them later. */
async function flood(port: number, count: number, what = ""): Promise<Wire[]> {
  const wires = await Promise.all(Array.from({ length: count }, () => dial(port)));
  if (what !== "") await Promise.all(wires.map((wire) => wire.send(what)));
  return wires;
}

test.each([
  ["silent connections", "", false],
  ["calls without the rest of their body", "POST /v2/conf HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{", false],
  ["calls whose head drips", "GET / HTTP/1.1\r\nX-Slow: ", true],
])(`${2 * FILES} %s to a coordinator of ${FILES} files, some after a call`, async (_what, says, drips) => {
  const { port, service, manager } = await start();
  // It acknowledges nothing: an app's opening waits for as long as it may.
  await manager.api("PUT", "/api/worker", portRegistration("silent", { node_id: "n" }));
  const { token, sessionId } = await manager.conf(newKernel());
  const opening = manager.auth(token, sessionId).then(({ status }) => status, String);
  // Nobody reads the body of a GET: the call is under way all the same.
  const other = await manager.conf(newKernel());
  const query = `app=jupyter&protocol=http&token=${other.token}&session_id=${other.sessionId}`;
  const byQuery = await dial(port);
  await byQuery.send(`GET /v2/proxy/auth?${query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}`);
  const called: Wire[] = [];
  for (const call of CALLS) called.push(...(await flood(port, 15, `${call}\r\nContent-Length: 0\r\n\r\n`)));
  // They are quiet for longer than those that come now.
  await Promise.all(called.map((wire) => wire.wait(() => wire.received > 0, "an answer", owed(30_000))));
  const silent = await flood(port, 2 * FILES, says);
  const drip = setInterval(() => {
    for (const wire of silent) if (drips && wire.ended === null) void wire.send("x").catch(() => undefined);
  }, DRIP_MS);
  atEnd(() => clearInterval(drip));
  const began = performance.now();
  while (performance.now() - began < STAYS_MS) {
    const { status } = await fetch(`http://127.0.0.1:${port}/health/livez`, { keepalive: false, signal: AbortSignal.timeout(owed(ANSWER_MS)) });
    expect(status).toBe(200);
  }
  expect(await opening).toBe(503);
  await byQuery.wait(() => byQuery.received > 0 || byQuery.ended !== null, "an answer");
  expect(byQuery.text()).toStartWith("HTTP/1.1 503 ");
  expect(called.filter((wire) => !wire.text().startsWith("HTTP/1.1 ")).length).toBe(0);
  // Who has had an answer makes way as well, whatever it was; those that wait for a body are cut before that.
  if (says === "")
    await until(() => called.every(({ ended }) => ended !== null), 30_000, "those that have called to make way");
  expect(silent.filter(({ ended }) => ended === null).length).toBeLessThan(FILES);
  const told = service.lines.filter(({ msg }) => String(msg).startsWith("no room for connections"));
  expect(told).toEqual([expect.objectContaining({ level: "warn", files: FILES })]);
  expect(service.lines.filter(({ level }) => level === "error")).toEqual([]);
}, MS); // prettier-ignore
