/**
 * Takes circuits of the original over, in one transaction: workers that are not known here are noted as LOST until they
 * register or are heard of, and each circuit keeps its id and slot. It may be done again: what was taken over is remembered,
 * what has changed or ended here since stays as it is here, and the newer circuit has the slot, the endpoint and the kernel.
 * Nothing is ended only because the original lacks it by now.
 */
import { createHash } from "node:crypto";
import { takeOverKernels, isOfAnother, ownersOf, circuitsOfOthers } from "../circuits/end-routes.ts";
import { circuitOfEndpoint, getCircuit } from "../store/circuit-queries.ts";
import { fits } from "../delivery/confirm.ts";
import { insertCircuit, removeCircuit, updateCircuit, type CircuitRow } from "../store/circuits.ts";
import { getToken, insertToken, isOutdated } from "../store/tokens.ts";
import { ITSELF, type Store, type Tx } from "../store/store.ts";
import { lastChange, passOver } from "../store/changes.ts";
import { allCircuits, circuitAt, recall, remember } from "../store/imported.ts";
import { endpointUrl } from "../endpoints/url.ts";
import { findWorkers, getWorker, setStatus, upsertWorker, type WorkerRow } from "../store/workers.ts";
import { isFault, readCircuit, readToken, readWorker, type Fault, type OriginalCircuit } from "./rows.ts";
import type { OriginalTables } from "./source.ts";

export type Outcome = "taken over" | "brought up to date" | "there already" | "skipped" | "left out";

/** One line of what happened. */
export interface Line {
  what: "worker" | "circuit" | "token" | "note";
  id: string;
  outcome: Outcome;
  /** Where it is served, or why not. */
  about: string;
}

interface Settings {
  now: number;
  newId: () => string;
  /** How long a token of `/v2/conf` lives. Milliseconds. */
  tokenLifetime: number;
}

/** Takes over what `tables` hold, and tells it line by line. Rejects as `Store.transaction`. */
export async function takeOver(database: Store, tables: OriginalTables, settings: Settings): Promise<Line[]> {
  const lines: Line[] = [];
  await database.transaction({ ...ITSELF, now: () => settings.now }, (tx) => {
    const last = lastChange(tx);
    new TakeOver(tx, tables, settings, lines).run();
    // No events: the original's workers serve these circuits already, and would make each anew; ours look for themselves.
    passOver(tx, last, settings.now);
  });
  return lines;
}

// --- internal ---

class TakeOver {
  readonly #tx: Tx;
  readonly #tables: OriginalTables;
  readonly #settings: Settings;
  readonly #lines: Line[];
  readonly #ids: ReadonlySet<unknown>;
  /** The original's id of a worker → its row here, or why it can't be had. */
  readonly #workers = new Map<string, WorkerRow | string>();

  constructor(tx: Tx, tables: OriginalTables, settings: Settings, lines: Line[]) {
    this.#tx = tx;
    this.#tables = tables;
    this.#settings = settings;
    this.#lines = lines;
    this.#ids = new Set(tables.circuits.map((row) => row["id"]));
  }

  run(): void {
    const endpoints = new Map(this.#tables.endpoints.map((row) => [String(row["id"]), row]));
    const read = this.#tables.circuits.map((row) => readCircuit(row, endpoints));
    for (const one of read) if (isFault(one)) this.#skip("circuit", one);
    const good = read.flatMap((one) => (isFault(one) ? [] : [one]));
    // The newest first: where two want one slot, endpoint or kernel, the older one is left over from what has ended.
    const created: OriginalCircuit[] = [];
    for (const { circuit, notes } of good.toSorted((a, b) => b.circuit.createdAt - a.circuit.createdAt)) {
      const outcome = this.#take(circuit);
      if (outcome === "taken over") created.push(circuit);
      for (const note of outcome === "skipped" ? [] : notes)
        this.#lines.push({ what: "note", id: note.id, outcome: "left out", about: `${note.table}: ${note.text}` });
    }
    this.#takeTokens(created);
    this.#nameGone();
  }

  #take(circuit: OriginalCircuit): Outcome {
    const memory = recall(this.#tx, circuit.id);
    const here = getCircuit(this.#tx, circuit.id);
    const content = contentOf(circuit);
    if (here === undefined && memory !== null)
      return this.#tell(circuit, "there already", "was taken over before and has ended here since");
    if (here === undefined) return this.#create(circuit, content);
    if (memory === null || memory.content === content) return this.#tell(circuit, "there already", this.#place(here));
    if (memory.revision !== here.revision)
      return this.#tell(circuit, "there already", `${this.#place(here)}, changed here since: stays as it is`);
    const { routeInfo, openToPublic, runtimeVariant, healthCheck } = circuit;
    const row = updateCircuit(this.#tx, here, { routeInfo, openToPublic, runtimeVariant, healthCheck });
    remember(this.#tx, circuit.id, { content, revision: row.revision });
    return this.#tell(circuit, "brought up to date", this.#place(row));
  }

  #create(circuit: OriginalCircuit, content: string): Outcome {
    const worker = this.#worker(circuit.workerId);
    if (typeof worker === "string") return this.#tell(circuit, "skipped", worker);
    const routeInfo = this.#ownRoutes(circuit);
    if (routeInfo.length === 0 && circuit.appMode === "interactive")
      return this.#tell(circuit, "skipped", "route_info: its kernel's address is another session's by now");
    const { now } = this.#settings;
    const fresh = {
      ...circuit,
      workerId: worker.id,
      routeInfo,
      createdAt: circuit.createdAt || now,
      // It has served: a request for it waits for its worker, and does not take it back.
      acknowledgedAt: now,
      acknowledgedRevision: null,
      originRequestId: null,
      // Whether it is in use is not known: its time begins anew.
      usedAt: now,
      lastAccess: null,
      updatedAt: now,
    };
    const obstacle = this.#obstacle({ ...fresh, revision: 0, recycledAt: null, blocksServiceWorkers: false }, worker);
    if (obstacle !== null) return this.#tell(circuit, "skipped", obstacle);
    takeOverKernels(this.#tx, routeInfo, this.#stale(circuitsOfOthers(this.#tx, routeInfo)));
    const row = insertCircuit(this.#tx, fresh);
    remember(this.#tx, row.id, { content, revision: row.revision });
    return this.#tell(circuit, "taken over", this.#place(row));
  }

  /** The routes whose kernel is no other session's here by now. */
  #ownRoutes(circuit: OriginalCircuit): OriginalCircuit["routeInfo"] {
    const stale = new Set(this.#stale(circuitsOfOthers(this.#tx, circuit.routeInfo)).map(({ id }) => id));
    const others = circuitsOfOthers(this.#tx, circuit.routeInfo).filter(({ id }) => !stale.has(id));
    const owners = ownersOf(others.flatMap((row) => row.routeInfo));
    return circuit.routeInfo.filter((route) => {
      const { session_id: sessionId, kernel_host: kernelHost, kernel_port: kernelPort } = route;
      const given = { sessionId, kernelHost, kernelPort, createdAt: circuit.createdAt };
      const isLost = isOfAnother(route, owners) || (circuit.appMode === "interactive" && isOutdated(this.#tx, given));
      if (isLost && circuit.appMode === "inference")
        this.#lines.push({
          what: "note",
          id: circuit.id,
          outcome: "left out",
          about: `circuits: route_info: ${kernelHost}:${kernelPort} is another session's by now; this route is left out`,
        });
      return !isLost;
    });
  }

  /** Why a circuit can't be where it was. What the original has given up since does not stand in its way. */
  #obstacle(row: CircuitRow, worker: WorkerRow): string | null {
    if (!fits(row, worker)) {
      const slots =
        worker.frontendMode === "port"
          ? `ports ${worker.portLow}–${worker.portHigh}`
          : `names under ${worker.wildcardDomain}`;
      return `${row.port === null ? "subdomain" : "port"}: ${row.port ?? row.subdomain} is no slot of worker ${worker.authority}, which has ${slots}`;
    }
    const holder = this.#free(circuitAt(this.#tx, row));
    if (holder !== null)
      return `${row.port === null ? "subdomain" : "port"}: ${row.port ?? row.subdomain} of ${worker.authority} carries circuit ${holder} by now`;
    if (row.endpointId === null) return null;
    const twin = this.#free(circuitOfEndpoint(this.#tx, row.endpointId));
    return twin === null ? null : `endpoint_id: ${row.endpointId} has circuit ${twin} by now`;
  }

  /** The id of a circuit that is in the way; null when there is none, or when it could be ended. */
  #free(row: CircuitRow | undefined): string | null {
    if (row === undefined) return null;
    if (this.#stale([row]).length === 0) return row.id;
    removeCircuit(this.#tx, row, "replaced");
    return null;
  }

  /** Those that were taken over, were not changed here, and that the original has ended since. */
  #stale(rows: readonly CircuitRow[]): CircuitRow[] {
    return rows.filter((row) => !this.#ids.has(row.id) && recall(this.#tx, row.id)?.revision === row.revision);
  }

  /** The worker here that has the authority of one of the original's; made when there is none. */
  #worker(originalId: string): WorkerRow | string {
    const known = this.#workers.get(originalId);
    if (known !== undefined) return typeof known === "string" ? known : (getWorker(this.#tx, known.id) ?? known);
    const found = this.#findWorker(originalId);
    this.#workers.set(originalId, found);
    return found;
  }

  #findWorker(originalId: string): WorkerRow | string {
    const row = this.#tables.workers.find((one) => one["id"] === originalId);
    if (row === undefined) return `worker: ${originalId} is in no row of workers`;
    const read = readWorker(row, this.#tables.filters);
    if (isFault(read)) {
      this.#skip("worker", read);
      return `worker: ${originalId} was skipped`;
    }
    const { registration } = read;
    const here = findWorkers(this.#tx, registration.authority).find((one) => one.authority === registration.authority);
    if (here !== undefined) return here;
    const { now, newId } = this.#settings;
    const id = getWorker(this.#tx, read.id) === undefined ? read.id : newId();
    const fresh = upsertWorker(this.#tx, registration, id, now);
    // Until it registers here nobody knows whether it is there.
    setStatus(this.#tx, fresh.id, "LOST", now);
    this.#lines.push({ what: "worker", id: fresh.id, outcome: "taken over", about: registration.authority });
    return getWorker(this.#tx, fresh.id) ?? fresh;
  }

  /** The original's tokens have no time: only those count whose session leads to the same kernel with a circuit. */
  #takeTokens(created: readonly OriginalCircuit[]): void {
    const now = this.#settings.now;
    const ways = new Map(created.filter(({ appMode }) => appMode === "interactive").flatMap(leadsOf));
    for (const row of this.#tables.tokens) {
      const token = readToken(row);
      if (isFault(token)) {
        this.#skip("token", token);
        continue;
      }
      const since = ways.get(keyOf(token.session_id, token.kernel_host, token.kernel_port));
      if (since === undefined || getToken(this.#tx, token.id) !== undefined) continue;
      insertToken(this.#tx, {
        id: token.id,
        kernelHost: token.kernel_host,
        kernelPort: token.kernel_port,
        sessionId: token.session_id,
        userId: token.user_uuid,
        projectId: token.group_id,
        accessKey: token.access_key,
        domainName: token.domain_name,
        originRequestId: null,
        createdAt: since,
        expiresAt: now + this.#settings.tokenLifetime,
      });
      this.#lines.push({
        what: "token",
        id: shortened(token.id),
        outcome: "taken over",
        about: `session ${token.session_id}`,
      });
    }
  }

  #nameGone(): void {
    for (const row of this.#stale(allCircuits(this.#tx)))
      this.#lines.push({
        what: "note",
        id: row.id,
        outcome: "there already",
        about: `circuits: was taken over before and the original has ended it since; to end it here: DELETE /api/circuit/${row.id}`,
      });
  }

  #place(row: CircuitRow): string {
    const worker = getWorker(this.#tx, row.workerId);
    const kind = row.appMode === "inference" ? `model service ${row.app}` : row.app;
    const slot = row.port === null ? row.subdomain : `port ${row.port}`;
    const where = worker === undefined || row.protocol === "tcp" ? `${slot}` : endpointUrl(row, worker);
    return `${kind} at ${worker?.authority ?? "?"}, ${where}`;
  }

  #tell({ id }: { id: string }, outcome: Outcome, about: string): Outcome {
    this.#lines.push({ what: "circuit", id, outcome, about });
    return outcome;
  }

  #skip(what: Line["what"], fault: Fault): void {
    const id = what === "token" ? shortened(fault.id) : fault.id;
    this.#lines.push({ what, id, outcome: "skipped", about: `${fault.table}: ${fault.text}` });
  }
}

/** A token lets people in: only its beginning is shown. */
function shortened(id: string): string {
  return `${id.slice(0, 8)}…`;
}

function keyOf(session: string, host: string, port: number): string {
  return `${session} ${host} ${port}`;
}

function leadsOf({ routeInfo, createdAt }: OriginalCircuit): [string, number][] {
  return routeInfo.map(({ session_id: session, kernel_host: host, kernel_port: port }) => [
    keyOf(session, host, port),
    createdAt,
  ]);
}

function contentOf(circuit: OriginalCircuit): string {
  return createHash("sha256").update(JSON.stringify(circuit)).digest("base64url");
}
