/** A new circuit, whatever it is for: what is wanted of it, at the slot that was chosen. */
import { insertCircuit, type CircuitRow, type NewCircuit } from "../store/circuits.ts";
import type { Tx } from "../store/store.ts";

/** What a circuit is to be. What is not named is empty. */
export type Purpose = Pick<NewCircuit, "app" | "protocol" | "appMode" | "openToPublic" | "userId" | "routeInfo"> &
  Partial<
    Pick<
      NewCircuit,
      "envs" | "arguments" | "allowedClientIps" | "allowedOrigins" | "endpointId" | "runtimeVariant" | "healthCheck"
    >
  >;

/** Where a circuit is to be. */
export type Slot = Pick<NewCircuit, "workerId" | "frontendMode" | "port" | "subdomain">;

/** Records the circuit as made by the transaction's request, used at this moment, and acknowledged by nobody. */
export function createCircuit(
  tx: Tx,
  id: string,
  purpose: Purpose,
  { workerId, frontendMode, port, subdomain }: Slot,
): CircuitRow {
  const { requestId, now } = tx.cause;
  return insertCircuit(tx, {
    envs: {},
    arguments: null,
    allowedClientIps: null,
    allowedOrigins: null,
    endpointId: null,
    runtimeVariant: null,
    healthCheck: null,
    ...purpose,
    id,
    workerId,
    frontendMode,
    port,
    subdomain,
    acknowledgedAt: null,
    acknowledgedRevision: null,
    originRequestId: requestId,
    usedAt: now,
    lastAccess: null,
    createdAt: now,
    updatedAt: now,
  });
}
