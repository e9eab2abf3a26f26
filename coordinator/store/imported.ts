/** SQL of the import of the original's circuits: what was taken over, and what is in its way. */
import { and, eq } from "drizzle-orm";
import { Type, type Static } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { CircuitRow } from "./circuits.ts";
import { readerOf, writerOf } from "./session.ts";
import type { Query, Tx } from "./store.ts";
import { circuits, meta } from "./schema.ts";

/**
 * What is remembered of a circuit that was taken over. `content`: of what the original said of it. `revision`: the circuit's
 * here at that time; another one means that it was changed here since.
 */
const Memory = Type.Object({ content: Type.String(), revision: Type.Integer() });
export type Memory = Static<typeof Memory>;

export function allCircuits(q: Query): CircuitRow[] {
  return readerOf(q).select().from(circuits).all();
}

/** The circuit that has this one's slot. */
export function circuitAt(q: Query, { workerId, port, subdomain }: CircuitRow): CircuitRow | undefined {
  const slot = port === null ? eq(circuits.subdomain, subdomain ?? "") : eq(circuits.port, port);
  return readerOf(q)
    .select()
    .from(circuits)
    .where(and(eq(circuits.workerId, workerId), slot))
    .get();
}

export function remember(tx: Tx, id: string, memory: Memory): void {
  const row = { key: `${MEMORY}${id}`, value: JSON.stringify(memory) };
  writerOf(tx)
    .insert(meta)
    .values(row)
    .onConflictDoUpdate({ target: meta.key, set: { value: row.value } })
    .run();
}

export function recall(q: Query, id: string): Memory | null {
  const row = readerOf(q)
    .select({ value: meta.value })
    .from(meta)
    .where(eq(meta.key, `${MEMORY}${id}`))
    .get();
  const memory: unknown = row === undefined ? null : JSON.parse(row.value);
  return Value.Check(Memory, memory) ? memory : null;
}

// --- internal ---

/** What the keys begin with. */
const MEMORY = "taken over ";
