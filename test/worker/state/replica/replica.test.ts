/** The worker's copy of its circuits, by itself: events out of place must neither be applied nor make it fetch for ever. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createCodec } from "../../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../../shared/protocol/events.ts";
import { createMemoryBus, MemoryHub } from "../../../../shared/bus/memory.ts";
import { Failure } from "../../../../shared/failure.ts";
import { silentLog } from "../../../../shared/runtime/log.ts";
import { isPortFree } from "../../../../shared/runtime/ports.ts";
import type { Circuit } from "../../../../shared/protocol/schema/circuit.ts";
import type { WorkerCircuits } from "../../../../shared/protocol/schema/worker.ts";
import { digestOf } from "../../../../shared/protocol/digest.ts";
import type { Revision } from "../../../../shared/protocol/revision.ts";
import type { Core } from "../../../../worker/seam/engine.ts";
import { ALONE } from "../../../support/listening.ts";
import { bunEngine } from "../../../../worker/engine/bun/engine.ts";
import { createPortFrontends, type Frontends } from "../../../../worker/listeners/frontends.ts";
import { createReplica, type Replica } from "../../../../worker/state/replica/replica.ts";
import type { Table } from "../../../../worker/circuits/table.ts";
import { freeRange } from "../../../support/ports.ts";
import { until } from "../../../support/until.ts";
import { circuit, newTable, route } from "../../../support/values.ts";

let low: number;
let snapshot: WorkerCircuits;
/** Answers in the snapshot's place. */
let answer: (() => Promise<WorkerCircuits>) | null;
let fetches: number;
/** What each fetch said that is known. */
let asked: (Revision | null)[];
let table: Table;
let frontends: Frontends;
let replica: Replica;

const refusing: Core<null> = {
  decide: () => ({ kind: "refuse", failure: new Failure("service-unavailable"), circuit: null }),
  failed: () => ({ status: 503, headers: [], body: "" }),
  upstreamFault: () => new Failure("service-unavailable"),
  admit: () => null,
  unanswered: () => undefined,
};

/** A replica on the table, with listeners of its own. */
function newReplica(): Replica {
  const listen = (port: number, seenAs: number) =>
    bunEngine.listen({ ...ALONE, port, frontend: { mode: "port", port: seenAs } }, refusing);
  frontends = createPortFrontends({
    log: silentLog(),
    listen,
    bindPort: (port) => port,
    isFree: (port) => isPortFree("127.0.0.1", port),
    changed: () => undefined,
  });
  const bus = createMemoryBus(new MemoryHub(), createCodec("replica-test-secret-01", false), silentLog());
  const fetch = async (have: Revision | null) => {
    fetches++;
    asked.push(have);
    return answer === null ? snapshot : answer();
  };
  return createReplica({
    authority: "w",
    nodeId: "node",
    fetch,
    failed: () => undefined,
    bus,
    table,
    frontends,
    log: silentLog(),
  });
}

beforeEach(async () => {
  low = await freeRange(4);
  fetches = 0;
  asked = [];
  answer = null;
  snapshot = { circuits: [], revision: 3, epoch: "mine" };
  table = newTable();
  replica = newReplica();
  await replica.refresh();
  fetches = 0;
  asked = [];
});

afterEach(async () => {
  await replica.stop();
  await frontends.abort();
});

const one = (id: string, at: number, revision: number): Circuit =>
  circuit({ id: `${id.repeat(8)}-0000-4000-8000-000000000000`, port: low + at, revision });

function created(what: Circuit, revision: number, epoch = "mine"): AppProxyEvent {
  const payload = { target_worker_authority: "w", circuits: [what], revision, epoch };
  return { name: "appproxy_circuit_created_event", source: "appproxy-coordinator", payload, requestId: null };
}

function removed(what: Circuit, revision: number): AppProxyEvent {
  const payload = { target_worker_authority: "w", circuits: [what], revision, epoch: "mine" };
  return { name: "appproxy_circuit_removed_event", source: "appproxy-coordinator", payload, requestId: null };
}

const ids = () => table.all().map((entry) => entry.circuit.id[0]);
const settled = () => until(() => replica.state().known);

test.each([
  ["of another database", () => created(one("a", 0, 4), 4, "another")],
  ["of a revision that the database does not have", () => created(one("a", 0, 99), 99)],
])("an event %s is looked into once and dropped, and the next one is applied", async (_what, event) => {
  replica.receive(event());
  await until(() => fetches > 0);
  await settled();
  expect(fetches).toBeLessThanOrEqual(2);
  replica.receive(created(one("b", 1, 4), 4));
  await until(() => ids().length === 1);
  expect([ids(), replica.state().revision]).toEqual([["b"], 4]);
});

/** One event about several changes. */
function together(first: number, circuits: Circuit[], kind: "created" | "removed" = "created"): AppProxyEvent {
  const revision = first + circuits.length - 1;
  const payload = { target_worker_authority: "w", circuits, first_revision: first, revision, epoch: "mine" };
  return { name: `appproxy_circuit_${kind}_event`, source: "appproxy-coordinator", payload, requestId: null };
}

test("an event that tells of several changes is the next one when its first is", async () => {
  const three = [one("a", 0, 4), one("b", 1, 5), one("c", 2, 6)];
  replica.receive(together(4, three));
  await until(() => ids().length === 3);
  replica.receive(together(7, three.slice(0, 2), "removed"));
  await until(() => ids().length === 1);
  expect([fetches, ids(), replica.state().revision]).toEqual([0, ["c"], 8]);
});

test("an event about changes of which some are known already is applied", async () => {
  const [a, b] = [one("a", 0, 4), one("b", 1, 5)];
  replica.receive(created(a, 4));
  replica.receive(together(4, [a, b]));
  await until(() => ids().length === 2);
  expect([fetches, ids(), replica.state().revision]).toEqual([0, ["a", "b"], 5]);
});

test("an event whose first change is not the next one shows a gap", async () => {
  const [a, b, c] = [one("a", 0, 4), one("b", 1, 5), one("c", 2, 6)];
  snapshot = { circuits: [a, b, c], revision: 6, epoch: "mine" };
  replica.receive(together(5, [b, c]));
  await until(() => ids().length === 3);
  await settled();
  expect([fetches, replica.state().revision]).toEqual([1, 6]);
});

test("a gap is filled from the snapshot, and what came meanwhile is not applied twice", async () => {
  const [a, b] = [one("a", 0, 4), one("b", 1, 5)];
  snapshot = { circuits: [a, b], revision: 5, epoch: "mine" };
  replica.receive(created(b, 5));
  await until(() => ids().length === 2);
  await settled();
  expect([fetches, replica.state().revision]).toEqual([1, 5]);
});

test("a circuit that comes back on another port is closed on the old one", async () => {
  const before = one("a", 0, 4);
  replica.receive(created(before, 4));
  await until(() => frontends.serves(before));
  const after = { ...before, port: low + 2, revision: 6 };
  snapshot = { circuits: [after], revision: 6, epoch: "mine" };
  await replica.refresh();
  expect([frontends.serves(before), frontends.serves(after)]).toEqual([false, true]);
  expect(await fetch(`http://127.0.0.1:${low}/`).catch(() => "refused")).toBe("refused");
});

test("a circuit that is closed while its port is tried again stays closed, and the next one has the port", async () => {
  const holder = Bun.listen({ hostname: "127.0.0.1", port: low, exclusive: true, socket: { data: () => undefined } });
  const [a, b] = [one("a", 0, 4), one("b", 0, 6)];
  replica.receive(created(a, 4));
  await until(() => ids().length === 1);
  const retried = replica.retryPorts();
  replica.receive(removed(a, 5));
  holder.stop(true);
  await retried;
  replica.receive(created(b, 6));
  await until(() => frontends.serves(b));
  await replica.retryPorts();
  expect([frontends.serves(a), frontends.serves(b)]).toEqual([false, true]);
});

test("nothing is opened after a stop", async () => {
  const late = one("a", 0, 4);
  await replica.stop();
  await frontends.abort();
  replica.receive(created(late, 4));
  expect(await frontends.open(late)).toBe(false);
  expect(ids()).toEqual([]);
});

describe("changes instead of everything", () => {
  /** The coordinator has these circuits; the replica knows of all but the last event. */
  function changes(circuits: Circuit[], removed: Circuit[], since: number, revision: number): WorkerCircuits {
    const gone = removed.map(({ id }) => id);
    const all = [...table.all().map(({ circuit }) => circuit), ...circuits];
    const left = new Map(all.map((circuit) => [circuit.id, circuit]));
    for (const id of gone) left.delete(id);
    return { circuits, removed: gone, since, revision, epoch: "mine", digest: digestOf(left.values()) };
  }

  beforeEach(async () => {
    // From here on the coordinator tells digests.
    snapshot = { ...snapshot, circuits: [one("a", 0, 2)], digest: digestOf([one("a", 0, 2)]) };
    replica.distrust();
    await until(() => fetches === 1 && replica.state().known);
    fetches = 0;
    asked = [];
  });

  test("are asked for when events were missed, and applied", async () => {
    snapshot = changes([one("b", 1, 5)], [one("a", 0, 4)], 3, 5);
    replica.lose();
    await settled();
    expect([asked, ids(), replica.state().revision]).toEqual([[{ number: 3, epoch: "mine" }], ["b"], 5]);
    expect(replica.state().digest).toBe(digestOf([one("b", 1, 5)]));
  });

  test("that do not lead to the coordinator's digest are not trusted: everything is fetched", async () => {
    const wrong = { ...changes([one("b", 1, 5)], [], 3, 5), digest: 1 };
    const right = [one("a", 0, 2), one("b", 1, 5), one("c", 2, 4)];
    snapshot = wrong;
    replica.lose();
    await until(() => fetches === 1);
    snapshot = { circuits: right, revision: 5, epoch: "mine", digest: digestOf(right) };
    await settled();
    expect([asked.at(0), asked.at(-1), ids()]).toEqual([{ number: 3, epoch: "mine" }, null, ["a", "b", "c"]]);
  });

  test("are found by a poll though no event told of them, and nothing is fetched when there are none", async () => {
    snapshot = changes([], [], 3, 3);
    const { syncedAt } = replica.state();
    await replica.poll();
    expect([fetches, replica.state().known]).toEqual([1, true]);
    expect(replica.state().syncedAt).toBeGreaterThan(syncedAt);
    snapshot = changes([one("b", 1, 4)], [], 3, 4);
    await replica.poll();
    expect([fetches, ids(), replica.state().revision]).toEqual([2, ["a", "b"], 4]);
  });

  test("that events have brought meanwhile are not applied twice", async () => {
    snapshot = changes([one("b", 1, 4)], [], 3, 4);
    const polling = replica.poll();
    replica.receive(created(one("b", 1, 4), 4));
    replica.receive(removed(one("b", 1, 5), 5));
    await polling;
    await until(() => replica.state().revision === 5);
    expect([ids(), replica.state().known]).toEqual([["a"], true]);
  });

  test("of another database make it fetch everything", async () => {
    const other = [one("d", 3, 1)];
    snapshot = { circuits: other, revision: 1, epoch: "another", digest: digestOf(other) };
    await replica.poll();
    await until(() => ids().join() === "d");
    await settled();
    expect(replica.state()).toMatchObject({ epoch: "another", revision: 1 });
  });

  test("are not looked for at a coordinator that can't tell them", async () => {
    snapshot = { circuits: [one("a", 0, 2)], revision: 3, epoch: "mine" };
    await replica.poll();
    await replica.poll();
    expect([fetches, replica.state().known]).toEqual([1, true]);
  });
});

test("a circuit of another database is taken though it has the same revision", async () => {
  const before = one("a", 0, 4);
  replica.receive(created(before, 4));
  await until(() => ids().length === 1);
  const after = { ...before, open_to_public: true };
  snapshot = { circuits: [after], revision: 4, epoch: "another" };
  await replica.refresh();
  expect(table.byId(after.id)?.circuit).toEqual(after);
});

test("a poll that is answered after a fetch has brought the same does not end polling", async () => {
  // Changes since then are not recorded any more: everything comes.
  const everything = { circuits: [one("a", 0, 4)], revision: 4, epoch: "mine" };
  const late = Promise.withResolvers<WorkerCircuits>();
  answer = () => late.promise;
  const polled = replica.poll();
  answer = null;
  snapshot = everything;
  await replica.refresh();
  late.resolve(everything);
  await polled;
  await settled();
  fetches = 0;
  await replica.poll();
  expect(fetches).toBe(1);
});

describe("what a node may build on", () => {
  const whole = (circuits: Circuit[], revision: number): WorkerCircuits =>
    ({ circuits, revision, epoch: "mine", digest: digestOf(circuits) }); // prettier-ignore

  test("a coordinator that was of an older version tells changes and digests after its upgrade, and is polled again", async () => {
    // Of the older version: no digest, and no changes.
    snapshot = { circuits: [one("a", 0, 2)], revision: 3, epoch: "mine" };
    replica.distrust();
    await until(() => fetches === 1 && replica.state().known);
    await replica.poll();
    expect(replica.state().digest).toBeNull();
    // An event makes it fetch, and the new version answers with changes.
    snapshot = { ...whole([one("a", 0, 2)], 3), circuits: [], removed: [], since: 3 };
    replica.lose();
    await settled();
    expect(replica.state().digest).toBe(table.digest);
    fetches = 0;
    await replica.poll();
    expect(fetches).toBe(1);
  });

  test("a database that was put back, and has other circuits under the same number, is seen by its digest", async () => {
    const before = one("a", 0, 5);
    snapshot = whole([before], 5);
    replica.distrust();
    await until(() => fetches === 1 && replica.state().known);
    const after = { ...before, updated_at: "2026-08-24T00:00:00.000Z", route_info: [route({ kernel_port: 9 })] };
    snapshot = { ...whole([after], 5), circuits: [], removed: [], since: 5 };
    const polled = replica.poll();
    await polled;
    snapshot = whole([after], 5);
    await until(() => table.all()[0]?.circuit.route_info[0]?.kernel_port === 9);
    await settled();
    expect(replica.state().digest).toBe(digestOf([after]));
  });

  test("saved circuits without a digest are not all that there are: everything is fetched", async () => {
    await replica.stop();
    await frontends.abort();
    table = newTable();
    replica = newReplica();
    await replica.restore({ circuits: [one("a", 0, 2)], revision: 3, epoch: "mine" });
    expect([ids(), replica.state().known]).toEqual([["a"], false]);
    snapshot = whole([one("a", 0, 2), one("b", 1, 3)], 3);
    asked = [];
    await replica.refresh();
    expect([asked, ids()]).toEqual([[null], ["a", "b"]]);
  });

  test("what was saved does not replace what the coordinator has said meanwhile", async () => {
    snapshot = whole([one("b", 1, 3)], 3);
    replica.distrust();
    await until(() => ids().join() === "b");
    await replica.restore(whole([one("a", 0, 2)], 2));
    expect(ids()).toEqual(["b"]);
  });
});

describe("a worker that leaves", () => {
  const canConnect = (port: number) =>
    Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).then(
      (socket) => {
        socket.end();
        return true;
      },
      () => false,
    );

  test("knows new circuits, opens no port for them, and closes that of a circuit that goes", async () => {
    const [a, b] = [one("a", 0, 4), one("b", 0, 6)];
    replica.receive(created(a, 4));
    await until(() => canConnect(low));
    replica.leave();
    void frontends.finish(10_000);
    replica.receive(removed(a, 5));
    replica.receive(created(b, 6));
    await until(() => replica.state().revision === 6);
    expect([ids(), await canConnect(low)]).toEqual([["b"], false]);
  });

  test("takes removals also when nothing can be fetched any more", async () => {
    const a = one("a", 0, 4);
    replica.receive(created(a, 4));
    await until(() => ids().length === 1);
    replica.leave();
    answer = () => Promise.reject(new Error("not registered"));
    replica.lose();
    await until(() => fetches > 0);
    replica.receive(removed(a, 9));
    await until(() => ids().length === 0);
  });
});
