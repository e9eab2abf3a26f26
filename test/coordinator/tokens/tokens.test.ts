/** Tokens of `POST /v2/conf`: they open apps for as long as they live, and are forgotten when they have expired. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import { tokens } from "../../../coordinator/store/schema.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { API_SECRET, confBody, Manager, newKernel } from "../../support/manager.ts";
import { coordinatorToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";

const LIFETIME_MS = 600_000;

let stack: AsyncDisposableStack;
let manager: Manager;
let database: SqliteStore;
let now: number;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-tokens-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const newId = () => crypto.randomUUID();
  database = openDb(join(directory, "db.sqlite3"), newId);
  stack.defer(() => database.close());
  const { bus, live } = memoryMessengers(silentLog())(createCodec(API_SECRET, false));
  const config = loadCoordinatorConfig("test", coordinatorToml("", {}), {}).values;
  now = Date.now();
  const coordinator = await startCoordinator({ config, database, bus, live, log: silentLog(), now: () => now, newId });
  stack.defer(() => coordinator.stop());
  manager = new Manager(coordinator.baseUrl);
});

afterEach(() => stack.disposeAsync());

/** 503 for a good one, because there is no worker; 404 for one that is not known. */
const open = async ({ token, sessionId }: { token: string; sessionId: string }) => (await manager.auth(token, sessionId)).status; // prettier-ignore
const kept = () => database.db.select({ id: tokens.id }).from(tokens).all().map(({ id }) => id); // prettier-ignore

test("a token opens apps for ten minutes, and no millisecond longer", async () => {
  const token = await manager.conf(newKernel());
  now += LIFETIME_MS - 1;
  expect(await open(token)).toBe(503);
  now += 1;
  expect(await open(token)).toBe(404);
});

test("one that has expired is forgotten, and one that has not is kept", async () => {
  await manager.conf(newKernel());
  now += LIFETIME_MS / 2;
  const younger = await manager.conf(newKernel());
  now += LIFETIME_MS / 2;
  await until(() => kept().length === 1);
  expect(kept()).toEqual([younger.token]);
  expect(await open(younger)).toBe(503);
});

test("a person's login session is not kept: nothing asks for it", async () => {
  const { token } = await manager.conf(newKernel());
  const body = { ...confBody(newKernel()), login_session_token: "a-login-session" };
  const other = (await manager.call("POST", "/v2/conf", body)).body["token"];
  const rows = database.db.select().from(tokens).all();
  expect(rows.map(({ id, loginSessionToken }) => [id, loginSessionToken]).toSorted()).toEqual(
    [
      [token, null],
      [String(other), null],
    ].toSorted(),
  );
});
