/** What the original's health calls say beside their status, which its readers parse: one entry a thing that a service needs. Pure. */

/** A thing that a service needs: `redis` `live`. */
export interface Part {
  group: string;
  component: string;
  healthy: boolean;
}

/** The field `connectivity` of a health answer; `now` in epoch milliseconds. */
export function connectivity(parts: readonly Part[], now: number) {
  const at = new Date(now).toISOString();
  return {
    overall_healthy: parts.every(({ healthy }) => healthy),
    connectivity_checks: parts.map(({ group, component, healthy }) => ({
      service_group: group,
      component_id: component,
      is_healthy: healthy,
      last_checked_at: at,
      error_message: healthy ? null : "away",
    })),
    timestamp: at,
  };
}
