/**
 * Placement against its rules, read one by one over all workers: who may have the circuit, and that nobody else who may is
 * better. Workers fill, empty, get lost and come back meanwhile.
 */
import { test } from "bun:test";
import * as fc from "fast-check";
import { place, type PlacementRequest } from "../../coordinator/placement/placement.ts";
import type { Candidate } from "../../coordinator/store/workers.ts";
import { Failure } from "../../shared/failure.ts";
import { PROTOCOLS } from "../../shared/protocol/schema/basics.ts";
import { runs, same, stepsOf, TIMEOUT_MS } from "./runs.ts";

const PORTS = [100, 101, 102];
type Step =
  | { kind: "place"; wish: Omit<PlacementRequest, "portIsFree"> }
  | { kind: "leave"; worker: number; port: number }
  | { kind: "status"; worker: number; status: Candidate["status"] };

/** A worker and the ports that are taken; in wildcard mode only their number counts. */
interface Site {
  worker: Candidate;
  taken: Set<number>;
}

const filters = fc.array(
  fc.record({ key: fc.constantFrom("session.id", "session.user_uuid"), value: fc.constantFrom("u", "v") }),
  { maxLength: 2 },
);
const worker = fc.record({
  status: fc.constantFrom<Candidate["status"][]>("ALIVE", "ALIVE", "ALIVE", "LOST", "TERMINATED"),
  protocol: fc.constantFrom<Candidate["protocol"][]>("http", "http", "http", "tcp", "h2"),
  frontendMode: fc.constantFrom<Candidate["frontendMode"][]>("port", "port", "wildcard"),
  acceptedTraffics: fc.constantFrom<Candidate["acceptedTraffics"][]>(["interactive"], ["inference"], ["interactive", "inference"]), // prettier-ignore
  filteredAppsOnly: fc.boolean(),
  filters,
  portLow: fc.constantFrom(99, 100, 101),
  portHigh: fc.constantFrom(101, 102),
});
const wish = fc.record({
  protocol: fc.constantFrom(...PROTOCOLS),
  mode: fc.constantFrom("interactive" as const, "inference" as const),
  facts: fc.constantFrom<PlacementRequest["facts"][]>({}, { "session.id": "u" }, { "session.user_uuid": "v" }),
  port: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom(...PORTS) }),
});
const steps = stepsOf<Step>(
  { weight: 20, arbitrary: wish.map((one) => ({ kind: "place" as const, wish: one })) },
  fc.record({ kind: fc.constant("leave" as const), worker: fc.nat(5), port: fc.constantFrom(...PORTS) }),
  fc.record({
    kind: fc.constant("status" as const),
    worker: fc.nat(5),
    status: fc.constantFrom<Candidate["status"][]>("ALIVE", "LOST", "TERMINATED"),
  }),
);

const rangeOf = ({ portLow, portHigh }: Candidate) => PORTS.filter((port) => (portLow ?? 0) <= port && port <= (portHigh ?? 0)); // prettier-ignore
const freeOf = ({ worker, taken }: Site) => rangeOf(worker).filter((port) => !taken.has(port));
const TRANSPORT: Record<string, string> = { preopen: "http", vnc: "tcp", rdp: "tcp" };

/** The best of some by what is small, then by name. */
function best(sites: readonly Site[], of: (site: Site) => number): string | undefined {
  const least = Math.min(...sites.map(of));
  return sites.filter((site) => of(site) === least).map(({ worker }) => worker.id).toSorted()[0]; // prettier-ignore
}

/** A worker's id, or which failure. */
function byTheRules(
  sites: readonly Site[],
  { protocol, mode, facts, port }: Omit<PlacementRequest, "portIsFree">,
): string {
  const transport = TRANSPORT[protocol] ?? protocol;
  const may = sites.filter(({ worker: { status, protocol: spoken, acceptedTraffics } }) => {
    return status === "ALIVE" && spoken === transport && acceptedTraffics.includes(mode);
  });
  const isNamed = ({ worker }: Site) =>
    worker.filters.some(({ key, value }) => Object.entries(facts).some(([fact, is]) => fact === key && is === value));
  const left = may.some(isNamed) ? may.filter(isNamed) : may.filter((one) => !one.worker.filteredAppsOnly);
  const ports = left.filter((one) => one.worker.frontendMode === "port");
  const wildcard = left.filter((one) => one.worker.frontendMode === "wildcard");
  const byFree = (site: Site) => -freeOf(site).length;
  if (port !== null && ports.length > 0) {
    const having = ports.filter((one) => rangeOf(one.worker).includes(port));
    const free = having.filter((one) => !one.taken.has(port));
    return best(free, byFree) ?? best(having, byFree) ?? "appproxy/port-not-available";
  }
  const room = ports.filter((one) => freeOf(one).length > 0);
  return best(wildcard, ({ taken }) => taken.size) ?? best(room, byFree) ?? "appproxy/worker-not-available";
}

function play(
  workers: readonly Omit<Candidate, "id" | "authority" | "available" | "occupied">[],
  all: readonly (Step | { kind: "nothing" })[],
): void {
  const sites: Site[] = workers.map((one, at) => {
    return { worker: { ...one, id: `w${at}`, authority: `w${at}`, available: 0, occupied: 0 }, taken: new Set() };
  });
  let next = 1000;
  for (const step of all) {
    const site = step.kind === "leave" || step.kind === "status" ? sites[step.worker] : undefined;
    if (step.kind === "leave" && site?.worker.frontendMode === "port") site.taken.delete(step.port);
    if (step.kind === "leave" && site?.worker.frontendMode === "wildcard") site.taken.delete([...site.taken][0] ?? 0);
    if (step.kind === "status" && site !== undefined) site.worker.status = step.status;
    if (step.kind !== "place") continue;
    const { port } = step.wish;
    const wanted = byTheRules(sites, step.wish);
    same("placed at", placed(sites, step.wish), wanted);
    const chosen = sites.find(({ worker: { id } }) => id === wanted);
    if (chosen === undefined) continue;
    chosen.taken.add(chosen.worker.frontendMode === "wildcard" ? next++ : (port ?? freeOf(chosen)[0] ?? 0));
  }
}

function placed(sites: readonly Site[], wish: Omit<PlacementRequest, "portIsFree">): string {
  const candidates = sites.map((site) => ({ ...site.worker, available: freeOf(site).length, occupied: site.taken.size })); // prettier-ignore
  const portIsFree = (id: string) => sites.find(({ worker }) => worker.id === id)?.taken.has(wish.port ?? 0) === false;
  try {
    return place(candidates, { ...wish, portIsFree }).id;
  } catch (error) {
    if (error instanceof Failure) return error.kind;
    throw error;
  }
}

test(
  "a circuit goes where the rules say: 10,000 runs of 50 steps",
  () => fc.assert(fc.property(fc.array(worker, { minLength: 1, maxLength: 6 }), steps, play), runs(10_000)),
  TIMEOUT_MS,
);
