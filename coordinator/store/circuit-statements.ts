/** The prepared statements of creating and acknowledging circuits: the hot path of circuits.ts. */
import { and, asc, count, countDistinct, eq, gt, gte, lte, sql } from "drizzle-orm";
import { prepared, preparedWrite, rowOf } from "./prepared.ts";
import { changes, circuits, circuitRoutes, freePorts, tokens, workers } from "./schema.ts";

const arg = sql.placeholder;
const { id: _changeId, ...changeRow } = rowOf(changes);

export const selectById = prepared((db) =>
  db
    .select()
    .from(circuits)
    .where(eq(circuits.id, arg("id")))
    .prepare(),
);
export const selectByEndpoint = prepared((db) =>
  db
    .select()
    .from(circuits)
    .where(eq(circuits.endpointId, arg("endpointId")))
    .prepare(),
);
export const selectReusable = prepared((db) =>
  db
    .select({ circuit: circuits })
    .from(circuitRoutes)
    .innerJoin(circuits, eq(circuits.id, circuitRoutes.circuitId))
    .where(
      and(
        eq(circuitRoutes.sessionId, arg("sessionId")),
        eq(circuits.app, arg("app")),
        eq(circuits.appMode, "interactive"),
        eq(circuits.protocol, arg("protocol")),
        eq(circuits.openToPublic, arg("openToPublic")),
        // Null is a value here.
        sql`${circuits.allowedClientIps} IS ${arg("allowedClientIps")}`,
      ),
    )
    .orderBy(asc(circuits.createdAt), asc(circuits.id))
    .limit(1)
    .prepare(),
);
/** How many interactive circuits a person has, and how many lead to a session. */
export const countOfUser = prepared((db) =>
  db
    .select({ circuits: count() })
    .from(circuits)
    .where(and(eq(circuits.userId, arg("userId")), eq(circuits.appMode, "interactive")))
    .prepare(),
);
export const countOfSession = prepared((db) =>
  db
    .select({ circuits: countDistinct(circuits.id) })
    .from(circuitRoutes)
    .innerJoin(circuits, eq(circuits.id, circuitRoutes.circuitId))
    .where(and(eq(circuitRoutes.sessionId, arg("sessionId")), eq(circuits.appMode, "interactive")))
    .prepare(),
);
export const selectInteractive = prepared((db) =>
  db
    .select({
      id: circuits.id,
      workerId: circuits.workerId,
      usedAt: circuits.usedAt,
      lastAccess: circuits.lastAccess,
    })
    .from(circuits)
    .where(and(eq(circuits.appMode, "interactive"), gt(circuits.id, arg("after"))))
    .orderBy(asc(circuits.id))
    .limit(arg("limit"))
    .prepare(),
);
export const touchUsed = preparedWrite((db) =>
  db
    .update(circuits)
    .set({ usedAt: sql`${arg("now")}` })
    .where(sql`${circuits.id} IN (SELECT value FROM json_each(${arg("ids")}))`)
    .prepare(),
);
/** The circuits that lead to kernels for other sessions than these: `leads` is a JSON list of [host, port, session]. */
export const selectOthers = prepared((db) =>
  db
    .select()
    .from(circuits)
    .where(
      sql`${circuits.id} IN (
        SELECT ${circuitRoutes.circuitId} FROM json_each(${arg("leads")}) AS lead CROSS JOIN ${circuitRoutes}
        ON ${circuitRoutes.kernelHost} = json_extract(lead.value, '$[0]')
        AND ${circuitRoutes.kernelPort} = json_extract(lead.value, '$[1]')
        AND ${circuitRoutes.sessionId} <> json_extract(lead.value, '$[2]'))`,
    )
    .prepare(),
);
export const selectHold = prepared((db) => {
  const ofSession = { one: sql`1` };
  return db
    .select(ofSession)
    .from(circuitRoutes)
    .where(eq(circuitRoutes.sessionId, arg("sessionId")))
    .unionAll(
      db
        .select(ofSession)
        .from(tokens)
        .where(eq(tokens.sessionId, arg("sessionId"))),
    )
    .limit(1)
    .prepare();
});
export const recordUse = preparedWrite((db) =>
  db
    .update(circuits)
    .set({ usedAt: sql`${arg("now")}`, lastAccess: sql`${arg("lastAccess")}` })
    .where(eq(circuits.id, arg("id")))
    .prepare(),
);
export const insertRow = preparedWrite((db) => db.insert(circuits).values(rowOf(circuits)).prepare());
export const insertRoute = preparedWrite((db) =>
  db.insert(circuitRoutes).values(rowOf(circuitRoutes)).onConflictDoNothing().prepare(),
);
export const deleteRoute = preparedWrite((db) =>
  db
    .delete(circuitRoutes)
    .where(
      and(
        eq(circuitRoutes.circuitId, arg("circuitId")),
        eq(circuitRoutes.sessionId, arg("sessionId")),
        eq(circuitRoutes.kernelHost, arg("kernelHost")),
        eq(circuitRoutes.kernelPort, arg("kernelPort")),
      ),
    )
    .prepare(),
);
export const updateSlot = preparedWrite((db) =>
  db
    .update(circuits)
    .set({
      workerId: sql`${arg("workerId")}`,
      frontendMode: sql`${arg("frontendMode")}`,
      port: sql`${arg("port")}`,
      subdomain: sql`${arg("subdomain")}`,
      recycledAt: sql`${arg("recycledAt")}`,
      blocksServiceWorkers: sql`${arg("blocksServiceWorkers")}`,
      revision: sql`${arg("revision")}`,
      acknowledgedAt: sql`${arg("acknowledgedAt")}`,
      acknowledgedRevision: null,
      updatedAt: sql`${arg("updatedAt")}`,
    })
    .where(eq(circuits.id, arg("id")))
    .returning()
    .prepare(),
);
/** JSON columns get their text. */
export const updateContent = preparedWrite((db) =>
  db
    .update(circuits)
    .set({
      routeInfo: sql`${arg("routeInfo")}`,
      openToPublic: sql`${arg("openToPublic")}`,
      runtimeVariant: sql`${arg("runtimeVariant")}`,
      allowedOrigins: sql`${arg("allowedOrigins")}`,
      healthCheck: sql`${arg("healthCheck")}`,
      revision: sql`${arg("revision")}`,
      updatedAt: sql`${arg("updatedAt")}`,
    })
    .where(eq(circuits.id, arg("id")))
    .prepare(),
);
export const insertChange = preparedWrite((db) => db.insert(changes).values(changeRow).prepare());
export const incrementRevision = preparedWrite((db) =>
  db
    .update(workers)
    .set({ revision: sql`${workers.revision} + 1` })
    .where(eq(workers.id, arg("workerId")))
    .returning({ revision: workers.revision })
    .prepare(),
);
/** XOR: what both have is in `|` once and is taken off with `&`. */
export const mixDigest = preparedWrite((db) =>
  db
    .update(workers)
    .set({ digest: sql`(${workers.digest} | ${arg("hash")}) - (${workers.digest} & ${arg("hash")})` })
    .where(eq(workers.id, arg("workerId")))
    .prepare(),
);
export const deleteFree = preparedWrite((db) =>
  db
    .delete(freePorts)
    .where(and(eq(freePorts.workerId, arg("workerId")), eq(freePorts.port, arg("port"))))
    .prepare(),
);
export const updateAcknowledged = preparedWrite((db) =>
  db
    .update(circuits)
    .set({
      acknowledgedAt: sql`coalesce(${circuits.acknowledgedAt}, ${arg("now")})`,
      // The original's workers name no revision: what they say is of the circuit as it is.
      acknowledgedRevision: sql`coalesce(${arg("revision")}, ${circuits.revision})`,
    })
    .where(
      and(
        eq(circuits.id, arg("id")),
        eq(circuits.workerId, arg("workerId")),
        sql`coalesce(${circuits.acknowledgedRevision}, -1) < coalesce(${arg("revision")}, ${circuits.revision})`,
      ),
    )
    .prepare(),
);
export const deleteRow = preparedWrite((db) =>
  db
    .delete(circuits)
    .where(eq(circuits.id, arg("id")))
    .prepare(),
);
/** Into the range of its worker, or not at all. */
export const insertFree = preparedWrite((db) =>
  db
    .insert(freePorts)
    .select(
      db
        .select({
          workerId: workers.id,
          port: sql<number>`${arg("port")}`.as("port"),
          releasedAt: sql<number>`${arg("now")}`.as("released_at"),
        })
        .from(workers)
        .where(
          and(eq(workers.id, arg("workerId")), lte(workers.portLow, arg("port")), gte(workers.portHigh, arg("port"))),
        ),
    )
    .onConflictDoNothing()
    .prepare(),
);
