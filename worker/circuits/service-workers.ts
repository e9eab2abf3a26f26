/**
 * Service workers that apps register. One outlives its circuit in the browsers that have it: it answers the next
 * navigation to its port or name itself, before anything of ours is asked, and so would get the next person's ticket. So
 * each slot on which a service worker's script was fetched is told to the coordinator, which gives it to nobody else.
 * Called by decide.ts for requests with `Service-Worker: script`, which browsers send for these scripts alone.
 */
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { ServiceWorkers } from "../../shared/protocol/schema/worker.ts";

type Told = ServiceWorkers["slots"][number];

export interface ServiceWorkerNotes {
  /** The app has answered such a request with this status. */
  fetched(circuit: Circuit, status: number): void;
  /** Tells what is not told yet, and stops. */
  stop(): Promise<void>;
}

export interface NotesDeps {
  /** Tells the coordinator; false when it can't take it now. Rejects while it is away. */
  tell: (slots: Told[]) => Promise<boolean>;
  log: Log;
}

const RETRY_MS = 1000;
/** The original's coordinator, or an older one, knows no such call: it is not asked each second for ever. */
const LONGEST_RETRY_MS = 60_000;
/** What is kept for a coordinator that does not take it: names have no end. The oldest go. */
const MAX_PENDING = 10_000;
/** Of one call: the coordinator's limit. */
const BATCH = 1000;

export function createServiceWorkerNotes({ tell, log }: NotesDeps): ServiceWorkerNotes {
  /** By slot and person; nearly always none. */
  const pending = new Map<string, Told>();
  /** Circuits of which it was told. */
  const known = new WeakSet<Circuit>();
  let telling: Promise<void> | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let retry = RETRY_MS;
  let stopped = false;

  async function tellAll(): Promise<void> {
    const batch = [...pending].slice(0, BATCH);
    try {
      const isTaken = await tell(batch.map(([, slot]) => slot));
      retry = isTaken ? RETRY_MS : Math.min(retry * 2, LONGEST_RETRY_MS);
      if (!isTaken) return log.debug("the coordinator accepts no reports of service workers now");
      for (const [key, slot] of batch) if (pending.get(key) === slot) pending.delete(key);
    } catch (error) {
      log.debug({ reason: reason(error) }, "cannot report service workers; trying again");
    }
  }

  /** Now, and again until it is told: the slot must not go to somebody else meanwhile. */
  function work(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    telling ??= tellAll().finally(() => {
      telling = null;
      if (pending.size > 0 && !stopped) timer = setTimeout(work, retry);
    });
  }

  return {
    fetched(circuit, status) {
      // 304: the browser has it already. Whatever else is no success is no script, and registers nothing.
      if ((status < 200 || status > 299) && status !== 304) return;
      if (known.has(circuit)) return;
      known.add(circuit);
      const { port, subdomain, user_id: user } = circuit;
      pending.set(`${port} ${subdomain} ${user}`, { port, subdomain, user_id: user });
      const [oldest] = pending.size > MAX_PENDING ? pending.keys() : [];
      if (oldest !== undefined) pending.delete(oldest);
      work();
    },
    async stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
      await telling;
      if (pending.size > 0) await tellAll();
    },
  };
}
