/** Which worker and which slot a new circuit gets. Runs inside the transaction that takes the slot. */
import { Failure } from "../../shared/failure.ts";
import type { ProxyWish } from "../../shared/schema/api.ts";
import type { FrontendMode } from "../../shared/schema/circuit.ts";
import * as circuits from "../circuits/store.ts";
import { generatedLabel, toLabel, variantOf } from "../circuits/subdomain.ts";
import type { TokenRow } from "../conf/store.ts";
import type { Db } from "../db/open.ts";
import { place, type Candidate } from "../placement.ts";
import * as workers from "../workers/store.ts";

export interface ChosenSlot {
  workerId: string;
  authority: string;
  frontendMode: FrontendMode;
  port: number | null;
  subdomain: string | null;
}

/** Throws worker-not-available or port-not-available. */
export function chooseSlot(tx: Db, wish: ProxyWish, token: TokenRow, newId: () => string): ChosenSlot {
  const worker = place(workers.candidates(tx), {
    protocol: wish.protocol,
    mode: "interactive",
    facts: facts(token),
    port: wish.port ?? null,
    portIsFree: (workerId) => circuits.isFreePort(tx, workerId, wish.port ?? 0),
  });
  const base = { workerId: worker.id, authority: worker.authority, frontendMode: worker.frontendMode };
  if (worker.frontendMode === "wildcard")
    return { ...base, port: null, subdomain: chooseSubdomain(tx, worker, wish.subdomain ?? null, newId) };
  return { ...base, port: choosePort(tx, worker, wish.port ?? null), subdomain: null };
}

// --- internal ---

function chooseSubdomain(tx: Db, worker: Candidate, wanted: string | null, newId: () => string): string {
  const hex = () => newId().replaceAll("-", "").slice(0, 8);
  const label = toLabel(wanted);
  let name = label ?? generatedLabel(hex);
  while (circuits.subdomainTaken(tx, worker.id, name))
    name = label === null ? generatedLabel(hex) : variantOf(label, hex);
  return name;
}

function choosePort(tx: Db, worker: Candidate, wanted: number | null): number {
  if (wanted !== null) {
    if (circuits.isFreePort(tx, worker.id, wanted)) return wanted;
    throw new Failure("appproxy/port-not-available", `port: ${wanted} is already occupied by another circuit`);
  }
  const port = circuits.oldestFreePort(tx, worker.id);
  if (port === undefined)
    throw new Failure("appproxy/worker-not-available", "All ports of the fitting workers are taken");
  return port;
}

function facts(token: TokenRow) {
  return {
    "session.id": token.sessionId,
    "session.user_uuid": token.userId,
    "session.access_key": token.accessKey,
    ...(token.projectId === null ? {} : { "session.project_id": token.projectId }),
    ...(token.domainName === null ? {} : { "session.domain_name": token.domainName }),
  };
}
