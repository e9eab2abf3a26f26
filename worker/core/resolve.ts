/** Which circuit a request is for: by the port it came in on, or by the name it asked for. Never by a forwarded header. */
import { Failure } from "../../shared/failure.ts";
import type { RequestHead } from "../seam/engine.ts";
import { labelOf } from "../circuits/label.ts";
import type { Entry, Table } from "../circuits/table.ts";

/** Returns null for a slot without a circuit. `domain` is the wildcard domain with its leading dot. */
export function resolve(table: Table, head: RequestHead, domain: string | null): Entry | null {
  const slot = slotAsked(head, domain);
  if (slot === null) return null;
  return (typeof slot === "number" ? table.byPort(slot) : table.bySubdomain(slot)) ?? null;
}

/**
 * The failure for a slot without a circuit. Until `isReady` a circuit that is missing may still come: the listener of all
 * names opens before the worker knows its circuits.
 */
export function unresolved(head: RequestHead, domain: string | null, isReady: boolean): Failure {
  const slot = slotAsked(head, domain);
  if (typeof slot === "number") return noCircuit(`Unregistered slot ${slot}`);
  if (!isReady) return new Failure("service-unavailable", { msg: "The worker is starting; try again", page: "moved" });
  return noCircuit(`E20009: Subdomain ${slot ?? "(none)"} not registered`);
}

/** The slot that a request came to: a port, or a name under the domain; null for another host. */
export function slotAsked(head: RequestHead, domain: string | null): number | string | null {
  return head.frontend.mode === "port" ? head.frontend.port : nameOf(head, domain);
}

// --- internal ---

function nameOf(head: RequestHead, domain: string | null): string | null {
  return domain === null ? null : labelOf(head.authority, domain);
}

/** The original says 400; but the request is as it should be, and what it asks for has ended or never was. */
function noCircuit(msg: string): Failure {
  return new Failure("object-not-found", { object: "circuit", msg });
}
