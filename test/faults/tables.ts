/** What has to be true of the coordinator's database by itself, whatever was asked of it; each fault in a sentence. */
import type { Stored, StoredWorker } from "./database.ts";

/** No two circuits share a slot; what is not used is free. `rangeOf`: a worker's first and last port; null where it has none. */
export function slotFaults(
  { workers, circuits }: Stored,
  rangeOf: (worker: StoredWorker) => readonly [low: number, high: number] | null,
): string[] {
  return workers.flatMap((worker) => {
    const slots = circuits.filter(({ workerId }) => workerId === worker.id).map(({ port, subdomain }) => port ?? subdomain); // prettier-ignore
    const shared = new Set(slots).size < slots.length ? [`circuits of ${worker.authority} share a slot: ${slots.join()}`] : []; // prettier-ignore
    const range = rangeOf(worker);
    if (range === null) return shared;
    const [low, high] = range;
    const wanted = Array.from({ length: high - low + 1 }, (_, at) => low + at);
    const found = [...slots.map(Number), ...worker.freePorts].toSorted((a, b) => a - b);
    if (found.join() === wanted.join()) return shared;
    const lost = `ports of ${worker.authority}: used ${slots.join()}, free ${worker.freePorts.join()}, wanted ${low}-${high} once each`;
    return [...shared, lost];
  });
}

/** Where circuits are listed to lead to is where they lead to. */
export function listingFaults({ circuits }: Stored): string[] {
  return circuits.flatMap(({ id, routes, listed }) => {
    const wanted = new Set(routes.map((one) => `${one.session_id} ${one.kernel_host} ${one.kernel_port}`));
    const found = new Set(listed.map(({ session, host, port }) => `${session} ${host} ${port}`));
    if (wanted.symmetricDifference(found).size === 0) return [];
    return [`circuit ${id} leads to ${[...wanted].join()}, and is listed for ${[...found].join()}`];
  });
}
