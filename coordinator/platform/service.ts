/**
 * Does what the platform's messages ask for: ends what belongs to sessions that are over, and has workers probe the
 * kernels of sessions that have lost one. Messages that come together are done together; the same one twice, or heard by
 * several coordinators, does no harm. One that is missed is made up for by end-routes.ts and by the collector of unused circuits.
 */
import type { CircuitProbe } from "../../shared/protocol/events.ts";
import { reason } from "../../shared/failure.ts";
import { endSessions } from "../circuits/end-routes.ts";
import type { Commit } from "../delivery/commit.ts";
import { circuitsOfSession, holdsAnything } from "../store/circuit-queries.ts";
import { toCircuit } from "../store/circuits.ts";
import { ITSELF, type Query } from "../store/store.ts";
import type { Deps } from "../deps.ts";
import { getWorker } from "../store/workers.ts";
import { readMessage } from "./message.ts";

export interface PlatformService {
  /** Takes a message of the channel. Never throws. */
  hear(text: string): void;
  /** Resolves when what is under way is done. */
  stop(): Promise<void>;
}

/** Sessions that end in one transaction: other work has its turn in between. */
const BATCH = 200;
/** Sessions that wait. More can't be: the database is away then, and the collector finds what is forgotten here. */
const MAX_WAITING = 10_000;
const RETRY_MS = 500;

export function createPlatformService({ database, bus, log }: Deps, commit: Commit): PlatformService {
  /** Sessions, and which request has ended each. */
  const over = new Map<string, string | null>();
  const shrunk = new Set<string>();
  const complaints = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let working: Promise<void> | null = null;
  let failing = false;
  let stopped = false;

  function hear(text: string): void {
    if (stopped) return;
    const message = readMessage(text);
    if (message.kind === "ignored") return complain(message.why, message.concerns);
    const { sessionId, requestId } = message;
    const isOver = message.kind === "session-over";
    if ((isOver ? over : shrunk).size >= MAX_WAITING) return complain("too many at once");
    // Said twice, once without its request: the one that names it counts.
    if (isOver) over.set(sessionId, requestId ?? over.get(sessionId) ?? null);
    else shrunk.add(sessionId);
    later(0);
  }

  /** One line a kind. */
  function complain(why: string, concerns = false): void {
    if (complaints.has(why)) return;
    complaints.add(why);
    if (concerns) log.warn({ why }, "ends of sessions can't be read: the platform's messages have an unknown form");
    else log.debug({ why }, "message of the platform ignored; the next ones like it are not logged");
  }

  function later(ms: number): void {
    if (stopped || working !== null) return;
    timer ??= setTimeout(() => {
      timer = null;
      working = work().then((pause) => {
        working = null;
        // What could not be published may have come back meanwhile.
        if (pause !== null || over.size + shrunk.size > 0) later(pause ?? RETRY_MS);
      });
    }, ms);
  }

  /** Gives after how long there is more to do, milliseconds; null when all is done. Never rejects. */
  async function work(): Promise<number | null> {
    try {
      await end();
      await probe();
      failing = false;
    } catch (error) {
      // One line an outage.
      if (!failing) log.warn({ reason: reason(error) }, "cannot end what belongs to sessions that are over; trying again"); // prettier-ignore
      failing = true;
      return RETRY_MS;
    }
    return over.size + shrunk.size > 0 ? 0 : null;
  }

  async function end(): Promise<void> {
    const some = [...over].slice(0, BATCH);
    // Most sessions of the platform have nothing here: looking costs no commit.
    const known = await database.read((q) => some.filter(([id]) => holdsAnything(q, id)));
    if (known.length > 0) {
      const byRequest = Map.groupBy(known, ([, requestId]) => requestId);
      const { result: ends } = await commit(ITSELF, (tx) =>
        [...byRequest].map(([requestId, sessions]) =>
          endSessions(
            tx.onBehalfOf({ requestId, peer: null }),
            sessions.map(([id]) => id),
          ),
        ),
      );
      const circuits = ends.reduce((sum, { ended }) => sum + ended.length, 0);
      const tokens = ends.reduce((sum, one) => sum + one.tokens, 0);
      log.info({ sessions: known.length, circuits, tokens }, "the platform has ended sessions");
    }
    for (const [id] of some) {
      over.delete(id);
      shrunk.delete(id);
    }
  }

  async function probe(): Promise<void> {
    const some = [...shrunk].slice(0, BATCH);
    const probes = await database.read((q) => some.flatMap((id) => probesOf(q, id)));
    for (const id of some) shrunk.delete(id);
    if (probes.length === 0) return;
    bus.publish(...probes).catch((error: unknown) => {
      log.debug({ reason: reason(error) }, "cannot ask workers to probe kernels; trying again");
      if (shrunk.size < MAX_WAITING) for (const id of some) shrunk.add(id);
      later(RETRY_MS);
    });
  }

  return {
    hear,
    async stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
      await working;
    },
  };
}

// --- internal ---

/** What workers are asked to probe for a session: its circuits, with the routes to its kernels and no others. */
function probesOf(q: Query, sessionId: string): CircuitProbe[] {
  const rows = Map.groupBy(circuitsOfSession(q, sessionId), ({ workerId }) => workerId);
  return [...rows].flatMap(([workerId, mine]): CircuitProbe[] => {
    const worker = getWorker(q, workerId);
    // The original knows no such event.
    if (worker === undefined || worker.isOriginal) return [];
    const circuits = mine.map((row) =>
      toCircuit({ ...row, routeInfo: row.routeInfo.filter(({ session_id: id }) => id === sessionId) }),
    );
    const payload = { target_worker_authority: worker.authority, circuits };
    return [{ name: "appproxy_circuit_probe_event", source: "appproxy-coordinator", payload, requestId: null }];
  });
}
