/**
 * The coordinator's record of changes: whatever happens to circuits of two workers, a node that has any earlier state and
 * is told the changes has the present one, revisions have no gaps, and digest and free slots are those of the circuits.
 */
import { afterAll, test } from "bun:test";
import { and, eq, lte } from "drizzle-orm";
import * as fc from "fast-check";
import { getCircuit } from "../../coordinator/store/circuit-queries.ts";
import * as store from "../../coordinator/store/circuits.ts";
import type { Query } from "../../coordinator/store/store.ts";
import { changes } from "../../coordinator/store/schema.ts";
import { circuitsFor } from "../../coordinator/store/changes-since.ts";
import { slotCounts } from "../../coordinator/store/slot-counts.ts";
import { getWorker, upsertWorker } from "../../coordinator/store/workers.ts";
import { digestOf } from "../../shared/protocol/digest.ts";
import { newCircuit, NOW, portRegistration } from "../support/rows.ts";
import { route } from "../support/values.ts";
import { openModelDatabase } from "./database.ts";
import { runs, same, stepsOf, TIMEOUT_MS } from "./runs.ts";
import { read, write } from "../support/store.ts";

const database = openModelDatabase();
const { store: opened } = database;
const { epoch } = opened;
afterAll(() => database.close());

const WORKERS = ["w1", "w2"] as const;
const IDS = ["a", "b", "c", "d"].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`);
const RANGE: [low: number, high: number] = [100, 104];
for (const name of WORKERS)
  write(opened, (tx) => upsertWorker(tx, portRegistration(name, { port_range: RANGE }), name, NOW));

type Worker = (typeof WORKERS)[number];
type Step =
  | { kind: "open"; id: string; worker: Worker; port: number }
  | { kind: "reroute" | "remove"; id: string; port: number }
  | { kind: "forget"; worker: Worker; left: number }
  | { kind: "fail"; id: string };

const id = fc.constantFrom(...IDS);
const worker = fc.constantFrom(...WORKERS);
const port = fc.integer({ min: RANGE[0], max: RANGE[1] });
const steps = stepsOf<Step>(
  { weight: 20, arbitrary: fc.record({ kind: fc.constant("open" as const), id, worker, port }) },
  fc.record({ kind: fc.constantFrom("reroute" as const, "remove" as const), id, port }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("forget" as const), worker, left: fc.nat(8) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("fail" as const), id }) },
);

interface Known {
  id: string;
  worker: Worker;
  port: number;
  kernel: number;
  revision: number;
}

/** All states that the workers have had. */
class Model {
  circuits: Known[] = [];
  /** By worker and revision. */
  readonly states: Record<Worker, Known[][]> = { w1: [[]], w2: [[]] };
  readonly forgotten: Record<Worker, number> = { w1: 0, w2: 0 };

  of(worker: Worker): Known[] {
    return this.circuits.filter((one) => one.worker === worker);
  }

  put(fresh: Omit<Known, "revision">): void {
    const known = this.circuits.find(({ id }) => id === fresh.id);
    // Another slot: gone there, new here.
    if (known !== undefined && (known.worker !== fresh.worker || known.port !== fresh.port)) this.remove(known.id);
    const made = { ...fresh, revision: this.states[fresh.worker].length };
    this.circuits = [...this.circuits.filter(({ id }) => id !== fresh.id), made];
    this.states[fresh.worker].push(this.of(fresh.worker));
  }

  remove(id: string): void {
    const gone = this.circuits.find((one) => one.id === id);
    if (gone === undefined) return;
    this.circuits = this.circuits.filter((one) => one !== gone);
    this.states[gone.worker].push(this.of(gone.worker));
  }
}

function take(model: Model, step: Step | { kind: "nothing" }): void {
  if (step.kind === "nothing") return;
  if (step.kind === "forget") {
    const before = Math.max(0, model.states[step.worker].length - 1 - step.left);
    model.forgotten[step.worker] = Math.max(model.forgotten[step.worker], before);
    opened.db.delete(changes).where(and(eq(changes.workerId, step.worker), lte(changes.revision, before))).run(); // prettier-ignore
    return;
  }
  const known = model.circuits.find((one) => one.id === step.id);
  const row = read(opened, (q) => getCircuit(q, step.id));
  if (step.kind === "open") {
    const { id, worker: workerId, port } = step;
    if (model.of(workerId).some((one) => one.port === port)) return;
    const slot = { workerId, frontendMode: "port" as const, port, subdomain: null };
    if (row === undefined)
      write(opened, (tx) => store.insertCircuit(tx, newCircuit({ id, ...slot, routeInfo: [route({ kernel_port: 1 })] }))); // prettier-ignore
    else write(opened, (tx) => store.moveCircuit(tx, row, slot, true));
    return model.put({ id, worker: workerId, port, kernel: known?.kernel ?? 1 });
  }
  if (row === undefined || known === undefined) return;
  if (step.kind === "remove") {
    write(opened, (tx) => store.removeCircuit(tx, row, "deleted"));
    return model.remove(step.id);
  }
  if (step.kind === "reroute") {
    write(opened, (tx) => store.updateRoutes(tx, row, [route({ kernel_port: step.port })]));
    return model.put({ ...known, kernel: step.port });
  }
  // A call that fails leaves nothing, and its revision is another change's.
  try {
    write(opened, (tx) => {
      store.removeCircuit(tx, row, "deleted");
      slotCounts(tx, rowIn(tx, known.worker));
      throw new Error("rolled back");
    });
  } catch {
    return;
  }
}

const rowOf = (name: Worker) => read(opened, (q) => rowIn(q, name));

function rowIn(q: Query, name: Worker) {
  const row = getWorker(q, name);
  if (row === undefined) throw new Error(`no worker ${name}`);
  return row;
}

const shown = (circuits: readonly Pick<Known, "id" | "port" | "kernel" | "revision">[]) =>
  circuits.map(({ id, port, kernel, revision }) => [id, port, kernel, revision]).toSorted();

/** A worker as it is. */
function check(model: Model, name: Worker): void {
  const [row, circuits] = [rowOf(name), model.of(name)];
  same("revision", row.revision, model.states[name].length - 1);
  same("digest", row.digest, digestOf(circuits.map((one) => ({ ...one, updated_at: new Date(NOW).toISOString() }))));
  const available = RANGE[1] - RANGE[0] + 1 - circuits.length;
  same(
    "counts",
    read(opened, (q) => slotCounts(q, row)),
    { available, occupied: circuits.length },
  );
}

/** What a node with each state is told. */
function checkAnswers(model: Model, name: Worker): void {
  const row = rowOf(name);
  const now = shown(model.of(name));
  for (const [since, state] of model.states[name].entries()) {
    const {
      circuits,
      removed,
      since: from,
    } = read(opened, (q) => circuitsFor(q, row, epoch, { number: since, epoch }));
    const told = circuits.map((one): Known => ({ id: one.id, worker: name, port: one.port ?? 0, kernel: one.route_info[0]?.kernel_port ?? 0, revision: one.revision ?? 0 })); // prettier-ignore
    same(`changes since ${since} are told`, from, since >= model.forgotten[name] ? since : undefined);
    const kept = from === undefined ? [] : state.filter(({ id }) => removed?.includes(id) !== true);
    const after = new Map([...kept, ...told].map((one) => [one.id, one]));
    same(`the state after ${since}`, shown([...after.values()]), now);
  }
  const other = read(opened, (q) => circuitsFor(q, row, epoch, { number: row.revision, epoch: "another" }));
  same("another database's node gets everything", [other.since, other.circuits.length], [undefined, now.length]);
}

test(
  "changes lead from every state to the present one: 10,000 runs of 50 steps",
  () =>
    fc.assert(
      fc.asyncProperty(steps, (all) =>
        database.trial(() => {
          const model = new Model();
          for (const step of all) {
            take(model, step);
            for (const name of WORKERS) check(model, name);
          }
          for (const name of WORKERS) checkAnswers(model, name);
        }),
      ),
      runs(10_000),
    ),
  TIMEOUT_MS,
);
