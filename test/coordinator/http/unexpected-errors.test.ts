/** An error that nobody expected, in a coordinator of which one part throws: the answer names the log's line, which has the details. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { loadCoordinatorConfig } from "../../../coordinator/config.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { openDb } from "../../../coordinator/store/open.ts";
import { createCodec } from "../../../shared/protocol/envelope.ts";
import { memoryMessengers } from "../../../shared/redis/messengers.ts";
import { createShutdown } from "../../../shared/runtime/process.ts";
import { silentLog } from "../../../shared/runtime/log.ts";
import { API_SECRET, confBody } from "../../support/manager.ts";
import { coordinatorToml } from "../../support/toml.ts";

const shutdown = createShutdown();
afterAll(() => shutdown.run());

test("is answered without its details, and told with its cause and stack at error", async () => {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "debug" },
    { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  );
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-unexpected-"));
  shutdown.add(() => rmSync(directory, { recursive: true, force: true }));
  const toml = coordinatorToml(join(directory, "db.sqlite3"), {});
  const { values: config } = loadCoordinatorConfig("c", toml, {});
  let broken = false;
  const newId = () => {
    if (broken) throw new Error("no ids are left", { cause: new Error("of a broken source") });
    return crypto.randomUUID();
  };
  const database = openDb(config.db.path, newId);
  shutdown.add(() => database.close());
  const { bus, live, close } = memoryMessengers(silentLog())(createCodec(API_SECRET, false));
  shutdown.add(close);
  const coordinator = await startCoordinator({ config, database, bus, live, log, now: Date.now, newId });
  shutdown.add(() => coordinator.stop());
  broken = true;
  const answer = await fetch(`${coordinator.baseUrl}/v2/conf?token=secret`, {
    method: "POST",
    headers: { "X-BackendAI-Token": API_SECRET, "Content-Type": "application/json" },
    body: JSON.stringify(confBody({ kernel_port: 8080, session_id: crypto.randomUUID() })),
  });
  const told = "Unexpected error; the log has its details";
  expect([answer.status, ((await answer.json()) as { msg: string }).msg]).toEqual([500, told]);
  expect(lines.filter(({ level }) => level === 50)).toEqual([
    expect.objectContaining({
      msg: "request failed",
      error_id: answer.headers.get("x-error-id"),
      method: "POST",
      url: "/v2/conf?token=…",
      status: 500,
      reason: told,
      cause: "no ids are left",
      stack: expect.stringMatching(
        /^Error: no ids are left\n\s+at newId .*unexpected-errors\.test\.ts[^]*\ncaused by: Error: of a broken source/,
      ) as string,
    }),
  ]);
});
