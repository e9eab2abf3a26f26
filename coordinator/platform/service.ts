/**
 * Does what the platform's messages ask for: ends what belongs to sessions that are over, and has workers probe the
 * kernels of sessions that have lost one. Messages that come together are done together; the same one twice, or heard by
 * several coordinators, does no harm. One that is missed is made up for by end-routes.ts and by the collector of unused circuits.
 */
import type { CircuitProbe } from "../../shared/protocol/events.ts";
import { reason } from "../../shared/failure.ts";
import type { Acknowledgements } from "../delivery/acknowledgements.ts";
import { endSessions, tellEnded } from "../circuits/end-routes.ts";
import { circuitsOfSession, holdsAnything } from "../store/circuit-queries.ts";
import { toCircuit } from "../store/circuits.ts";
import { write } from "../store/open.ts";
import type { Deps } from "../deps.ts";
import type { Publisher } from "../delivery/publisher.ts";
import { getWorker } from "../store/workers.ts";
import { readMessage } from "./message.ts";

export interface PlatformService {
  /** Takes a message of the channel. Never throws. */
  hear(text: string): void;
  stop(): void;
}

/** Sessions that end in one transaction: other work has its turn in between. */
const BATCH = 200;
/** Sessions that wait. More can't be: the database is away then, and the collector finds what is forgotten here. */
const MAX_WAITING = 10_000;
const RETRY_MS = 500;

export function createPlatformService(
  deps: Deps,
  publisher: Publisher,
  acknowledgements: Acknowledgements,
): PlatformService {
  const { database, bus, log, now } = deps;
  const { db } = database;
  const over = new Set<string>();
  const shrunk = new Set<string>();
  const complaints = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let failing = false;
  let stopped = false;

  function hear(text: string): void {
    if (stopped) return;
    const message = readMessage(text);
    if (message.kind === "ignored") return complain(message.why, message.concerns);
    const waiting = message.kind === "session-over" ? over : shrunk;
    if (waiting.size >= MAX_WAITING) return complain("too many at once");
    waiting.add(message.sessionId);
    later(0);
  }

  /** One line a kind. */
  function complain(why: string, concerns = false): void {
    if (complaints.has(why)) return;
    complaints.add(why);
    if (concerns)
      log.warn({ why }, "ends of sessions can't be read: the platform says them in a form that is not known");
    else log.debug({ why }, "a message of the platform is ignored; no more lines about such ones");
  }

  function later(ms: number): void {
    if (!stopped) timer ??= setTimeout(work, ms);
  }

  function work(): void {
    timer = null;
    try {
      end();
      probe();
      failing = false;
    } catch (error) {
      // One line an outage.
      if (!failing) log.warn({ reason: reason(error) }, "cannot end what belongs to sessions that are over; trying again"); // prettier-ignore
      failing = true;
      return later(RETRY_MS);
    }
    if (over.size + shrunk.size > 0) later(0);
  }

  function end(): void {
    const some = [...over].slice(0, BATCH);
    // Most sessions of the platform have nothing here: looking costs no commit.
    const known = some.filter((id) => holdsAnything(db, id));
    if (known.length > 0) {
      const { ended, tokens } = write(db, (tx) => endSessions(tx, known, { requestId: null, now: now() }));
      // Another coordinator may have been faster, and publishes it.
      if (ended.length > 0) publisher.kick();
      tellEnded(deps, acknowledgements, ended, "the session is over", null);
      log.info({ sessions: known.length, circuits: ended.length, tokens }, "the platform has ended sessions");
    }
    for (const id of some) {
      over.delete(id);
      shrunk.delete(id);
    }
  }

  function probe(): void {
    const some = [...shrunk].slice(0, BATCH);
    const probes = some.flatMap(probesOf);
    for (const id of some) shrunk.delete(id);
    if (probes.length === 0) return;
    bus.publish(...probes).catch((error: unknown) => {
      log.debug({ reason: reason(error) }, "cannot ask workers to probe kernels; trying again");
      if (shrunk.size < MAX_WAITING) for (const id of some) shrunk.add(id);
      later(RETRY_MS);
    });
  }

  /** What workers are asked to probe for a session: its circuits, with the routes to its kernels and no others. */
  function probesOf(sessionId: string): CircuitProbe[] {
    const rows = Map.groupBy(circuitsOfSession(db, sessionId), ({ workerId }) => workerId);
    return [...rows].flatMap(([workerId, mine]): CircuitProbe[] => {
      const worker = getWorker(db, workerId);
      // The original knows no such event.
      if (worker === undefined || worker.isOriginal) return [];
      const circuits = mine.map((row) =>
        toCircuit({ ...row, routeInfo: row.routeInfo.filter(({ session_id: id }) => id === sessionId) }),
      );
      const payload = { target_worker_authority: worker.authority, circuits };
      return [{ name: "appproxy_circuit_probe_event", source: "appproxy-coordinator", payload, requestId: null }];
    });
  }

  return {
    hear,
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
