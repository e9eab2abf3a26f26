/** The prepared statements of heartbeats and of the watch over leases: workers.ts and nodes.ts run them all the time. */
import { and, count, desc, eq, gt, lt, lte, notExists, sql } from "drizzle-orm";
import { prepared, preparedWrite, rowOf } from "./prepared.ts";
import { appFilters, nodes, workers } from "./schema.ts";

const arg = sql.placeholder;
const thisNode = and(eq(nodes.workerId, arg("workerId")), eq(nodes.nodeId, arg("nodeId")));

export const upsertNode = preparedWrite((db) =>
  db
    .insert(nodes)
    // Encoded by nodes.ts: Drizzle would make false of a null that comes later.
    .values({
      ...rowOf(nodes),
      agrees: sql`${arg("agrees")}`,
      usageDelayed: sql`${arg("usageDelayed")}`,
      routeReports: sql`${arg("routeReports")}`,
      jwtKeys: sql`${arg("jwtKeys")}`,
    })
    .onConflictDoUpdate({
      target: [nodes.workerId, nodes.nodeId],
      set: {
        leaseUntil: sql`excluded.lease_until`,
        revision: sql`excluded.revision`,
        agrees: sql`excluded.agrees`,
        usageDelayed: sql`excluded.usage_delayed`,
        routeReports: sql`excluded.route_reports`,
        jwtKeys: sql`excluded.jwt_keys`,
      },
    })
    .prepare(),
);
export const updateSeen = preparedWrite((db) =>
  db
    .update(workers)
    .set({ status: "ALIVE", lastSeenAt: sql`${arg("now")}`, jwtKeys: sql`${arg("jwtKeys")}` })
    .where(eq(workers.id, arg("workerId")))
    .prepare(),
);
export const deleteNode = preparedWrite((db) => db.delete(nodes).where(thisNode).prepare());
export const selectNode = prepared((db) =>
  db
    .select({ one: sql`1` })
    .from(nodes)
    .where(thisNode)
    .prepare(),
);
export const selectLivingNodes = prepared((db) =>
  db
    .select({ id: nodes.nodeId })
    .from(nodes)
    .where(and(eq(nodes.workerId, arg("workerId")), gt(nodes.leaseUntil, arg("now"))))
    .prepare(),
);
export const selectJwtKeys = prepared((db) =>
  db
    .select({ ids: nodes.jwtKeys, leaseUntil: nodes.leaseUntil })
    .from(nodes)
    .where(eq(nodes.workerId, arg("workerId")))
    .orderBy(desc(nodes.leaseUntil))
    .prepare(),
);
export const selectLastJwtKeys = prepared((db) =>
  db
    .select({ ids: workers.jwtKeys })
    .from(workers)
    .where(eq(workers.id, arg("workerId")))
    .prepare(),
);
export const countLiving = prepared((db) =>
  db
    .select({ nodes: count() })
    .from(nodes)
    .where(and(eq(nodes.workerId, arg("workerId")), gt(nodes.leaseUntil, arg("now"))))
    .prepare(),
);
export const selectFiltersOf = prepared((db) =>
  db
    .select({ key: appFilters.key, value: appFilters.value })
    .from(appFilters)
    .where(eq(appFilters.workerId, arg("workerId")))
    .prepare(),
);
export const shortenLeases = preparedWrite((db) =>
  db
    .update(nodes)
    .set({ leaseUntil: sql`${arg("until")}` })
    .where(gt(nodes.leaseUntil, arg("until")))
    .prepare(),
);
export const clampSeen = preparedWrite((db) =>
  db
    .update(workers)
    .set({ lastSeenAt: sql`${arg("now")}` })
    .where(gt(workers.lastSeenAt, arg("now")))
    .prepare(),
);
export const deleteExpired = preparedWrite((db) =>
  db
    .delete(nodes)
    .where(lte(nodes.leaseUntil, arg("now")))
    .prepare(),
);
export const selectSilent = prepared((db) => {
  const leased = db
    .select({ one: sql`1` })
    .from(nodes)
    .where(eq(nodes.workerId, workers.id));
  return db
    .select()
    .from(workers)
    .where(and(eq(workers.status, "ALIVE"), lt(workers.lastSeenAt, arg("before")), notExists(leased)))
    .prepare();
});
