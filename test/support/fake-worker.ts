/** A worker that only registers and listens to events: for kinds of workers and faults that a real one does not show. */
import { createCodec } from "../../shared/protocol/envelope.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { silentLog } from "../../shared/runtime/log.ts";
import { until } from "./until.ts";
import { redisMessengers } from "../../shared/redis/messengers.ts";
import { API_SECRET, type Manager } from "./manager.ts";
import { portRegistration } from "./rows.ts";

export interface FakeWorker {
  id: string;
  /** Events for its authority, its own acknowledgements too. */
  events: AppProxyEvent[];
  /** Whether it acknowledges. */
  answers: boolean;
  /** Whether it misses all events from now on. */
  isDeaf: boolean;
  heartbeat(): Promise<number>;
  stop(): Promise<void>;
}

export async function startFakeWorker(
  manager: Manager,
  redisPort: number,
  registration: Record<string, unknown> & { authority: string },
): Promise<FakeWorker> {
  const settings = { addr: { host: "127.0.0.1", port: redisPort }, sentinel: null, service_name: "", password: "" };
  const messengers = redisMessengers(settings, createCodec(API_SECRET, true), silentLog());
  const events: AppProxyEvent[] = [];
  const fake = { answers: true, isDeaf: false, id: "" };
  await messengers.bus.subscribe({
    event(event) {
      if (fake.isDeaf || event.payload.target_worker_authority !== registration.authority) return;
      events.push(event);
      tellRevision(event);
      if (!fake.answers) return;
      // A node of ours acknowledges a change of routes too; the original does not.
      const changed = registration["node_id"] !== undefined && event.name === "appproxy_circuit_route_updated_event";
      if (event.name !== "appproxy_circuit_created_event" && !changed) return;
      const circuits = "circuits" in event.payload ? event.payload.circuits : [event.payload.circuit];
      const payload = { target_worker_authority: registration.authority, circuits };
      void messengers.bus.publish({
        name: "appproxy_worker_circuit_added_event",
        source: "appproxy-worker",
        payload,
        requestId: event.requestId,
      });
    },
    unknown: () => undefined,
  });
  // Its words have a connection of their own.
  await until(() => messengers.bus.healthy());
  /** A node of ours says how far it is when circuits have ended. */
  function tellRevision({ name, payload }: AppProxyEvent): void {
    const node = registration["node_id"];
    if (typeof node !== "string" || !("revision" in payload) || name === "appproxy_worker_circuit_added_event") return;
    const { revision, epoch = "" } = payload;
    const query = new URLSearchParams({ since: String(revision), epoch, node_id: node });
    manager.api("GET", `/api/worker/${fake.id}/circuits?${query.toString()}`).catch(() => undefined); // it is stopping
  }

  const answer = await manager.api("PUT", "/api/worker", {
    ...portRegistration(registration.authority, { port_range: [30_000, 30_009] }),
    ...registration,
  });
  if (answer.status !== 200) throw new Error(`registration answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  const id = String(answer.body["id"]);
  fake.id = id;
  return Object.assign(fake, {
    id,
    events,
    heartbeat: async () => (await manager.api("PATCH", `/api/worker/${id}`)).status,
    stop: () => messengers.close(),
  });
}
