/** Who had a slot before: what a new circuit is told of that, and which slots are kept from whom. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  forgetNames,
  isSetAside,
  noteServiceWorker,
  setAside,
  SET_ASIDE_MS,
} from "../../../coordinator/store/occupants.ts";
import { insertCircuit, moveCircuit, removeCircuit, toCircuit, type CircuitRow } from "../../../coordinator/store/circuits.ts"; // prettier-ignore
import { openDb } from "../../../coordinator/store/open.ts";
import type { SqliteStore } from "../../../coordinator/store/sqlite.ts";
import type { Tx } from "../../../coordinator/store/store.ts";
import { SlotChooser, type SlotRequest } from "../../../coordinator/placement/slot.ts";
import { getWorker, upsertWorker } from "../../../coordinator/store/workers.ts";
import { slotsOf } from "../../../coordinator/store/slots.ts";
import { NOW, newCircuit, portRegistration } from "../../support/rows.ts";
import { refused, WORKER } from "../../support/values.ts";
import { read, write } from "../../support/store.ts";

const ALICE = "a11ce000-0000-4000-8000-000000000001";
const BOB = "b0b00000-0000-4000-8000-000000000002";
const CAROL = "ca201000-0000-4000-8000-000000000003";
const WILD = "70707070-0000-4000-8000-000000000002";

let directory: string;
let database: SqliteStore;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "app-proxy-occupants-"));
  database = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
  // Three ports.
  write(database, (tx) => upsertWorker(tx, portRegistration("ports", { port_range: [20_001, 20_003] }), WORKER, NOW));
});
afterEach(() => {
  database.close();
  rmSync(directory, { recursive: true });
});

function addWildcard(): void {
  const wild = { frontend_mode: "wildcard" as const, port_range: null, wildcard_domain: ".Apps.Example", wildcard_traffic_port: 443 }; // prettier-ignore
  write(database, (tx) => upsertWorker(tx, portRegistration("names", wild), WILD, NOW));
}

/** Opens a circuit as a request of this person does. */
function open(userId: string | null, over: Partial<SlotRequest> = {}, now = NOW): CircuitRow {
  const work = (tx: Tx) => {
    const wish = { protocol: "http" as const, mode: "interactive" as const, facts: {}, port: null, subdomain: null, userId, ...over }; // prettier-ignore
    const { authority: _authority, ...slot } = new SlotChooser(tx, () => crypto.randomUUID()).choose(wish);
    return insertCircuit(tx, newCircuit({ ...slot, userId }));
  };
  return write(database, work, { now });
}
const close = (row: CircuitRow, now = NOW) => write(database, (tx) => removeCircuit(tx, row, "deleted"), { now });
const register = (row: CircuitRow, now = NOW) => write(database, (tx) => noteServiceWorker(tx, row, row.userId, now));
const told = (row: CircuitRow) => [toCircuit(row).recycled_at, toCircuit(row).service_workers];
const NOTHING = [undefined, undefined];

describe("a circuit", () => {
  test("on a slot that was nobody's or its user's own is told nothing", () => {
    const first = open(ALICE, { port: 20_002 });
    close(first);
    expect([told(first), told(open(ALICE, { port: 20_002 }))]).toEqual([NOTHING, NOTHING]);
  });

  test("on a port that was another user's is told since when it has it, and so are all that follow", () => {
    for (const [user, at] of [
      [ALICE, 1],
      [BOB, 2],
      [BOB, 3],
      [ALICE, 4],
      [null, 5],
    ] as const) {
      // prettier-ignore
      const row = open(user, { port: 20_002 }, NOW + at);
      expect(toCircuit(row).recycled_at).toBe(at === 1 ? undefined : new Date(NOW + at).toISOString());
      close(row);
    }
  });

  test("is told after a restart too, and when another worker has the host and port now", () => {
    close(open(ALICE, { port: 20_002 }));
    database.close();
    database = openDb(join(directory, "db.sqlite3"), () => crypto.randomUUID());
    write(database, (tx) => upsertWorker(tx, portRegistration("ports", { port_range: [30_000, 30_000] }), WORKER, NOW));
    write(database, (tx) => upsertWorker(tx, portRegistration("others", { hostname: "WORKER.example", port_range: [20_002, 20_002] }), WILD, NOW)); // prettier-ignore
    expect(told(open(BOB, { port: 20_002 }))).toEqual([new Date(NOW).toISOString(), undefined]);
  });

  test("that moves is told of its new slot", () => {
    close(open(BOB, { port: 20_003 }));
    const row = open(ALICE, { port: 20_001 });
    const slot = { workerId: WORKER, frontendMode: "port" as const, port: 20_003, subdomain: null };
    const move = (from: CircuitRow, to: typeof slot) => write(database, (tx) => moveCircuit(tx, from, to, true), { now: NOW + 9 }); // prettier-ignore
    const moved = move(row, slot);
    expect([told(row), told(moved)]).toEqual([NOTHING, [new Date(NOW + 9).toISOString(), undefined]]);
    expect(told(move(moved, { ...slot, port: 20_002 }))).toEqual(NOTHING);
  });

  test("with a name that was another user's is told so, in whatever case", () => {
    addWildcard();
    close(open(ALICE, { subdomain: "lab" }));
    expect(told(open(BOB, { subdomain: "LAB" }))).toEqual([new Date(NOW).toISOString(), undefined]);
  });
});

describe("a port on which an app has registered a service worker", () => {
  test("goes to its user, and to nobody else while there is another", () => {
    const row = open(ALICE, { port: 20_001 });
    register(row);
    close(row);
    const bobs = [open(BOB), open(BOB)];
    expect(bobs.map(({ port }) => port)).toEqual([20_002, 20_003]);
    expect(open(ALICE).port).toBe(20_001);
  });

  test("is refused to others as a wanted one", async () => {
    const row = open(ALICE, { port: 20_001 });
    register(row);
    close(row);
    expect((await refused(() => open(BOB, { port: 20_001 }))).kind).toBe("appproxy/port-not-available");
    expect(open(ALICE, { port: 20_001 }).port).toBe(20_001);
  });

  test("goes to another only when all else is taken and seven days are over, without service workers then", async () => {
    for (const [port, at] of [
      [20_001, 2],
      [20_002, 1],
      [20_003, 3],
    ] as const) {
      // prettier-ignore
      const row = open(ALICE, { port });
      register(row, NOW + at);
      close(row);
    }
    const full = { kind: "appproxy/worker-not-available" } as const;
    expect(await refused(() => open(BOB, {}, NOW + SET_ASIDE_MS))).toMatchObject(full);
    expect(await refused(() => open(BOB, { port: 20_002 }, NOW + SET_ASIDE_MS + 1))).toMatchObject({ kind: "appproxy/port-not-available" }); // prettier-ignore
    const last = open(BOB, {}, NOW + SET_ASIDE_MS + 1);
    expect([last.port, told(last)]).toEqual([20_002, [new Date(NOW + SET_ASIDE_MS + 1).toISOString(), "blocked"]]);
    expect(await refused(() => open(CAROL, {}, NOW + SET_ASIDE_MS + 1))).toMatchObject(full);
    expect(open(CAROL, {}, NOW + SET_ASIDE_MS + 2).port).toBe(20_001);
    // Its own user is told of the others, and may register.
    close(last, NOW + SET_ASIDE_MS + 3);
    expect(told(open(ALICE, { port: 20_002 }, NOW + SET_ASIDE_MS + 4))[1]).toBeUndefined();
  });

  test("is one of sixteen free ones of a person: older ones are given back", () => {
    const wide = portRegistration("ports", { port_range: [20_001, 20_020] });
    write(database, (tx) => upsertWorker(tx, wide, WORKER, NOW));
    for (let at = 0; at < 20; at++) {
      const row = open(ALICE, { port: 20_001 + at }, NOW + at);
      register(row, NOW + at);
      close(row, NOW + at);
    }
    const kept = Array.from({ length: 20 }, (_, at) => at).filter((at) =>
      read(database, (q) => isSetAside(q, { workerId: WORKER, port: 20_001 + at, subdomain: null }, BOB)),
    );
    expect(kept).toEqual(Array.from({ length: 16 }, (_, at) => at + 4));
    // Another person's are another count.
    register(open(BOB, { port: 20_001 }, NOW + 30), NOW + 30);
    expect(read(database, (q) => setAside(q, BOB, NOW).get(WORKER)?.kept)).toBe(16);
  });

  test("is one of sixteen also where all are free at once", () => {
    const wide = portRegistration("ports", { port_range: [20_001, 20_030] });
    write(database, (tx) => upsertWorker(tx, wide, WORKER, NOW));
    const rows = Array.from({ length: 30 }, (_, at) => open(ALICE, { port: 20_001 + at }, NOW + at));
    for (const [at, row] of rows.entries()) register(row, NOW + at);
    for (const row of rows) close(row, NOW + 100);
    expect(read(database, (q) => setAside(q, BOB, NOW).get(WORKER)?.kept)).toBe(16);
  });

  test("of several users is nobody's", async () => {
    const row = open(ALICE, { port: 20_001 });
    for (const userId of [ALICE, BOB]) register({ ...row, userId });
    close(row);
    for (const user of [ALICE, BOB])
      expect((await refused(() => open(user, { port: 20_001 }))).kind).toBe("appproxy/port-not-available");
  });

  test("counts for nothing when workers are compared: one with others comes first", () => {
    const other = portRegistration("others", { hostname: "other.example", port_range: [21_000, 21_001] });
    write(database, (tx) => upsertWorker(tx, other, WILD, NOW));
    for (const port of [20_001, 20_002]) {
      const row = open(ALICE, { port });
      register(row);
      close(row);
    }
    expect(open(BOB).workerId).toBe(WILD);
    // The longest unused of hers is the one that nobody has had.
    expect(open(ALICE).port).toBe(20_003);
    expect(open(BOB).port).toBe(21_001);
  });
});

test("a name on which an app has registered a service worker goes to nobody else, also as a wanted one", () => {
  addWildcard();
  const row = open(ALICE, { subdomain: "lab" });
  register(row);
  close(row);
  expect(open(BOB, { subdomain: "lab" }, NOW + 2 * SET_ASIDE_MS).subdomain).toMatch(/^lab-[0-9a-f]{8}$/);
  expect(open(BOB, { subdomain: "lab", isLabel: true }).subdomain).toMatch(/^lab-[0-9a-f]{8}$/);
  expect(open(ALICE, { subdomain: "lab" }).subdomain).toBe("lab");
});

test("the list of slots says for whom one is kept, used or free", () => {
  addWildcard();
  const [port, name] = [open(ALICE, { port: 20_001 }, NOW), open(ALICE, { subdomain: "lab" })];
  const rows = [newCircuit({ workerId: WORKER, port: 20_002, userId: BOB })].map((fresh) => write(database, (tx) => insertCircuit(tx, fresh))); // prettier-ignore
  for (const row of [port, name, ...rows]) register(row);
  close(name);
  const kept = (id: string) => {
    const worker = read(database, (q) => getWorker(q, id));
    if (worker === undefined) throw new Error("the worker is not there");
    return read(database, (q) => slotsOf(q, worker, NOW)).map(({ port: at, subdomain, in_use, service_worker_of: user }) => [at ?? subdomain, in_use, user]); // prettier-ignore
  };
  expect(kept(WILD)).toContainEqual(["lab", false, ALICE]);
  expect(kept(WORKER)).toContainEqual([20_002, true, BOB]);
  expect(kept(WORKER)).toContainEqual([20_003, false, undefined]);
});

test("names are forgotten 400 days after their last use", () => {
  addWildcard();
  close(open(ALICE, { subdomain: "lab" }));
  write(database, (tx) => forgetNames(tx, NOW + 400 * 24 * 3600 * 1000));
  const row = open(BOB, { subdomain: "lab" });
  expect(told(row)).not.toEqual(NOTHING);
  close(row);
  write(database, (tx) => forgetNames(tx, NOW + 400 * 24 * 3600 * 1000 + 1));
  expect(told(open(CAROL, { subdomain: "lab" }))).toEqual(NOTHING);
});

test("the count of slots that are kept walks those with service workers, and not all free ports", () => {
  for (let at = 0; at < 5; at++) {
    const big = { port_range: [1024, 60_000] as [number, number], hostname: `big${at}.example` };
    write(database, (tx) => upsertWorker(tx, portRegistration(`big${at}`, big), crypto.randomUUID(), NOW));
  }
  /** The quickest of some; milliseconds. */
  const quickest = () => Math.min(...Array.from({ length: 20 }, () => took(() => read(database, (q) => setAside(q, BOB, NOW))))); // prettier-ignore
  const unused = quickest();
  close(open(ALICE, { port: 20_002 }));
  // With all 300,000 ports it takes a hundred milliseconds, a thousand times as long.
  expect(quickest()).toBeLessThan(20 * unused + 5);
});

// --- internal ---

function took(work: () => unknown): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}
