/** Events are lost, told twice, late, out of order, forged, or said again by somebody who has listened. */
import { createCodec, type Codec } from "../../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../../shared/protocol/events.ts";
import { API_SECRET } from "../../support/manager.ts";
import type { Fault, FaultContext } from "../fault.ts";
import type { Machine } from "../machine.ts";
import type { Storm } from "../orders.ts";

const STORM_MS = [400, 1500] as const;
const calm = { drop: 0, duplicate: 0, reorder: 0, delay: 0, delayMs: 400 };

export const eventFaults: Fault[] = [
  { name: "events-dropped", weight: 3, run: (context) => storm(context, { ...calm, drop: 0.5 }) },
  { name: "all-events-dropped", weight: 2, run: (context) => storm(context, { ...calm, drop: 1 }) },
  { name: "events-duplicated", weight: 1, run: (context) => storm(context, { ...calm, duplicate: 0.7 }) },
  { name: "events-reordered", weight: 2, run: (context) => storm(context, { ...calm, reorder: 0.5, delay: 0.2 }) },
  { name: "events-delayed", weight: 1, run: (context) => storm(context, { ...calm, delay: 0.8 }) },
  {
    name: "events-in-disorder",
    weight: 2,
    run: (context) => storm(context, { ...calm, drop: 0.2, duplicate: 0.3, reorder: 0.3, delay: 0.3 }),
  },
  { name: "acknowledgements-dropped", weight: 1, run: (context) => loseAcknowledgements(context) },
  { name: "events-forged", weight: 2, run: forge },
  { name: "events-replayed", weight: 2, run: replay },
];

// --- internal ---

/** At one node, at both of a worker, or at all. */
function victims({ random, cluster }: FaultContext): Machine[] {
  const one = random.pick(cluster.nodes);
  const some = random.pick([
    [one],
    cluster.nodes.filter(({ authority }) => authority === one.authority),
    cluster.nodes,
  ]);
  return some.map(({ machine }) => machine);
}

async function storm(context: FaultContext, how: Omit<Storm, "seed">): Promise<void> {
  await mistreat(context, victims(context), how);
}

async function loseAcknowledgements(context: FaultContext): Promise<void> {
  await mistreat(context, [context.cluster.coordinator], { ...calm, drop: 0.6, duplicate: 0.3, delay: 0.2 });
}

async function mistreat(
  { random, timeline, silence }: FaultContext,
  machines: readonly Machine[],
  how: Omit<Storm, "seed">,
): Promise<void> {
  const names = machines.map(({ name }) => name).join(", ");
  timeline.note("fault", `events to ${names}: ${JSON.stringify(how)}`);
  const seed = random.between(0, 2 ** 31);
  await Promise.all(machines.map((machine) => machine.tell({ do: "storm", storm: { ...how, seed } })));
  await Bun.sleep(random.between(...STORM_MS));
  if (random.chance(0.5)) {
    // Then nothing but a look of its own tells a node that the last event was lost.
    timeline.note("fault", "nobody begins anything any more");
    silence();
    await Bun.sleep(random.between(0, 300));
  }
  await Promise.all(machines.map((machine) => machine.tell({ do: "calm" })));
  timeline.note("fault", `events to ${names} come as they are`);
}

/** What somebody sends who knows the protocol: without the secret, and from another database with the same secret. */
async function forge({ random, timeline, wiretap }: FaultContext): Promise<void> {
  const right = createCodec(API_SECRET, false);
  const wrong = createCodec("a-secret-that-is-not-theirs", true);
  const foreign = random.uuid();
  for (let left = random.between(5, 40); left > 0; left--) {
    await Bun.sleep(random.between(5, 40));
    const all = wiretap.heard().flatMap((text) => read(right, text) ?? []);
    const events = all.filter(({ payload }) => payload.epoch !== foreign);
    if (events.length === 0) continue;
    const event = random.pick(events);
    const newest = newestOf(event.payload.target_worker_authority, events);
    const twisted = twist(event, random.pick(["appproxy_circuit_removed_event", event.name] as const), newest);
    const kind = random.pick(["unsigned", "wrongly signed", "of another database"] as const);
    timeline.note("fault", `forged ${twisted.name}, ${kind}`);
    const text =
      kind === "of another database"
        ? right.encode({ ...twisted, payload: { ...twisted.payload, epoch: foreign } } as AppProxyEvent)
        : wrong.encode(twisted);
    await wiretap
      .say(kind === "unsigned" ? text.replace(/,\\"mac\\":\\"[0-9a-f]*\\"/, "") : text)
      .catch(() => undefined);
  }
}

/** Null for what was forged before. */
function read(codec: Codec, text: string): AppProxyEvent | null {
  try {
    return codec.decode(text);
  } catch {
    return null; // refused, as it should be
  }
}

/** A removal of what was created, as the very next change: the worst that a forged event could do. */
function twist(event: AppProxyEvent, name: AppProxyEvent["name"], newest: number): AppProxyEvent {
  if (!("circuits" in event.payload)) return event;
  const payload = Object.fromEntries(Object.entries(event.payload).filter(([key]) => key !== "mac"));
  return {
    ...event,
    name,
    source: "appproxy-coordinator",
    payload: { ...payload, revision: newest + 1 },
  } as AppProxyEvent;
}

/** The newest revision of a worker that was heard of. */
function newestOf(authority: string, events: readonly AppProxyEvent[]): number {
  const mine = events.filter(({ payload }) => payload.target_worker_authority === authority);
  return Math.max(0, ...mine.map(({ payload }) => payload.revision ?? 0));
}

/** Genuine events, told once more at the wrong time. */
async function replay({ random, timeline, wiretap }: FaultContext): Promise<void> {
  for (let left = random.between(5, 60); left > 0; left--) {
    await Bun.sleep(random.between(2, 30));
    if (wiretap.heard().length === 0) continue;
    const text = random.pick(wiretap.heard());
    const { name } = JSON.parse(text) as { name: string };
    timeline.note("fault", `replayed ${name}`);
    await wiretap.say(text).catch(() => undefined);
  }
}
