/** The file of a worker's circuits: whole or not at all, for its owner only, and never more than it says. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { silentLog } from "../../../shared/runtime/log.ts";
import { createSnapshots, snapshotPath, type Snapshots } from "../../../worker/state/snapshot.ts";
import type { Table } from "../../../worker/circuits/table.ts";
import { until } from "../../support/until.ts";
import { circuit, newTable } from "../../support/values.ts";

let directory: string;
let path: string;
let table: Table;
let revision: number;
let known: boolean;
let running: Snapshots[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-snapshot-"));
  path = snapshotPath(directory, "w/1");
  table = newTable();
  table.put(circuit({ revision: 7 }));
  revision = 7;
  known = true;
  running = [];
});

afterEach(async () => {
  for (const one of running) await one.stop();
  rmSync(directory, { recursive: true, force: true });
});

function start(authority = "w/1", where = path): Snapshots {
  const state = () => ({ known, revision, epoch: "e", digest: table.digest });
  const made = createSnapshots({
    path: where,
    authority,
    maxAge: 60_000,
    table,
    state,
    log: silentLog(),
    now: Date.now,
  });
  running.push(made);
  return made;
}

/** What a start would be given. */
function saved() {
  const reader = start();
  void reader.stop();
  return reader.load();
}

const isSaved = (wanted: number) => until(() => saved()?.revision === wanted);

test("what is saved is what was there, and only its owner can read it", async () => {
  start();
  await isSaved(7);
  expect(saved()).toEqual({ circuits: [circuit({ revision: 7 })], revision: 7, epoch: "e", digest: table.digest });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual(["app-proxy-worker-w%2F1.json"]);
});

test("what changes is saved, and nothing is while it is not known", async () => {
  start();
  await isSaved(7);
  known = false;
  revision = 8;
  table.remove(circuit().id);
  await Bun.sleep(1500);
  expect(saved()?.revision).toBe(7);
  known = true;
  await isSaved(8);
  expect(saved()?.circuits).toEqual([]);
});

test("nothing is used that is damaged, of another worker, or of a worker that was away for too long", async () => {
  start();
  await isSaved(7);
  await running.at(0)?.stop();
  known = false;
  const good = readFileSync(path, "utf8");
  for (const bad of [
    "",
    good.slice(0, -9),
    "[]",
    good.replace('"jupyter"', "5"),
    good.replace('"version":1', '"version":2'),
  ]) {
    writeFileSync(path, bad);
    expect(saved()).toBeNull();
  }
  writeFileSync(path, good);
  expect(start("w2").load()).toBeNull();
  expect(saved()).not.toBeNull();
  const old = Date.now() / 1000 - 61;
  utimesSync(path, old, old);
  expect(saved()).toBeNull();
  rmSync(path);
  expect(saved()).toBeNull();
});

test("a folder that can't be written is told of, and harms nobody", async () => {
  const blocked = join(directory, "file");
  writeFileSync(blocked, "");
  chmodSync(blocked, 0o400);
  const lines: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
  const state = () => ({ known, revision, epoch: "e", digest: table.digest });
  running.push(
    createSnapshots({ path: join(blocked, "x.json"), authority: "w", maxAge: 1000, table, state, log, now: Date.now }),
  );
  await until(() => lines.length > 0);
  expect(lines.join("")).toContain("cannot save the circuits (proxy_worker.snapshot_dir)");
});
