/** Tells the coordinator which circuits are served, and which can't be: somebody waits for it. Called by changes.ts. */
import type { Bus } from "../../../shared/bus/bus.ts";
import { reason as reasonOf } from "../../../shared/failure.ts";
import type { Log } from "../../../shared/runtime/log.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import type { Frontends } from "../../listeners/frontends.ts";

export interface AcknowledgerDeps {
  authority: string;
  nodeId: string;
  bus: Bus;
  frontends: Frontends;
  log: Log;
}

export interface Acknowledger {
  /** Acknowledges circuits; while the bus is away it is tried for as long as a coordinator waits. */
  send(circuits: readonly Circuit[], requestId: string | null): void;
  /** Says of those of these circuits that can't be served that they can't. Once: the heartbeat tells of their ports too. */
  refuse(circuits: readonly Circuit[], requestId: string | null): void;
  /** Acknowledges nothing any more. */
  stop(): void;
}

/** Circuits in one acknowledgement, so that a snapshot of thousands is no message of megabytes. */
const BATCH = 100;
/** Together about as long as a coordinator waits. */
const ATTEMPTS = 60;
const RETRY_MS = 250;

export function createAcknowledger({ authority, nodeId, bus, frontends, log }: AcknowledgerDeps): Acknowledger {
  let stopped = false;

  function send(circuits: readonly Circuit[], requestId: string | null, attempt = 1): void {
    if (stopped) return;
    for (let at = 0; at < circuits.length; at += BATCH) {
      const batch = circuits.slice(at, at + BATCH);
      const payload = { target_worker_authority: authority, circuits: batch };
      bus
        .publish({ name: "appproxy_worker_circuit_added_event", source: "appproxy-worker", payload, requestId })
        .catch((error: unknown) => {
          log.debug({ reason: reasonOf(error), attempt }, "cannot acknowledge circuits");
          if (attempt >= ATTEMPTS) return;
          // After an outage events may be heard before they can be sent.
          const again = () => send(batch.filter((circuit) => frontends.serves(circuit)), requestId, attempt + 1); // prettier-ignore
          setTimeout(again, RETRY_MS).unref();
        });
    }
  }

  function refuse(circuits: readonly Circuit[], requestId: string | null): void {
    const refused = circuits.filter((circuit) => frontends.refusal(circuit) !== null);
    if (stopped) return;
    for (let at = 0; at < refused.length; at += BATCH) {
      const batch = refused.slice(at, at + BATCH);
      const reason = batch.map((circuit) => frontends.refusal(circuit)).find((why) => why !== null) ?? "";
      const payload = { target_worker_authority: authority, circuits: batch, node_id: nodeId, reason };
      bus
        .publish({ name: "appproxy_worker_circuit_refused_event", source: "appproxy-worker", payload, requestId })
        .catch((error: unknown) =>
          log.debug({ reason: reasonOf(error) }, "cannot tell the coordinator that circuits can't be served"),
        );
    }
  }

  return { send, refuse, stop: () => void (stopped = true) };
}
