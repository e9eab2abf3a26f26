/** Calls that tell how the coordinator and what it knows are. */
import { expect } from "bun:test";
import { VERSION } from "../../../shared/runtime/version.ts";
import { expectProblem, type Plan } from "./plan.ts";

type Insight =
  | "hello"
  | "whereabouts"
  | "health"
  | "isAlive"
  | "isReady"
  | "readMetrics"
  | "workersStatus"
  | "healthSummary"
  | "endpointsHealth"
  | "circuitHealth";

const nothing = async () => ({});
const HEALTHY = { status: "ok", component: "appproxy-coordinator", version: VERSION };
const AT = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string;
const check = (group: string, id: string) => ({
  service_group: group,
  component_id: id,
  is_healthy: true,
  last_checked_at: AT,
  error_message: null,
});
/** As the coordinator 26.9.6 answers: `{"status": "ok", "version", "component", "connectivity": {…}}`. */
const CONNECTIVITY = {
  overall_healthy: true,
  connectivity_checks: [check("redis", "live"), check("redis", "events"), check("database", "sqlite")],
  timestamp: AT,
};

export const insight: { [N in Insight]: Plan<N> } = {
  hello: {
    good: nothing,
    so: (answer) => expect(answer).toEqual({ component: "appproxy-coordinator", version: VERSION, api_version: "v2" }),
  },
  whereabouts: {
    good: nothing,
    so: (answer, _input, { manager }) =>
      expect(answer).toEqual({ api_version: "v2", advertise_address: manager.baseUrl }),
  },
  health: {
    good: nothing,
    so: (answer) =>
      expect(answer).toMatchObject({
        ...HEALTHY,
        connectivity: CONNECTIVITY,
        checks: { events: "connected", live_data: "connected" },
      }),
    same: ({ checks: _checks, connectivity: _connectivity, ...rest }: Record<string, unknown>) => rest,
  },
  isAlive: {
    good: nothing,
    so: (answer) =>
      expect(answer).toEqual({
        ...HEALTHY,
        connectivity: { overall_healthy: true, connectivity_checks: [], timestamp: AT },
      }),
    same: ({ connectivity: _connectivity, ...rest }: Record<string, unknown>) => rest,
  },
  isReady: {
    good: nothing,
    so: (answer) => expect(answer).toMatchObject(HEALTHY),
    same: ({ checks: _checks, connectivity: _connectivity, ...rest }: Record<string, unknown>) => rest,
    others: [
      {
        place: "adrift",
        status: 503,
        what: "Redis away",
        ask: () => ({}),
        says: ({ body }) =>
          expect(body).toMatchObject({
            status: "error",
            connectivity: {
              overall_healthy: false,
              connectivity_checks: [{ is_healthy: false, error_message: "away" }, { is_healthy: false }, {}],
            },
            checks: { events: "away", live_data: "away" },
          }),
      },
    ],
  },
  readMetrics: {
    good: nothing,
    so: (answer) => expect(answer).toContain("\nappproxy_coordinator_circuits{"),
    same: () => "other figures",
    refused: [
      {
        place: "closed",
        kind: "generic-forbidden",
        what: "a reader at another address",
        msg: "metric_access_allowed_hosts does not name this address",
      },
    ],
    others: [
      {
        place: "usual",
        status: 421,
        what: "a name that is another's",
        ask: nothing,
        headers: () => ({ Host: "rebound.example" }),
        says: (answer) => expectProblem(answer, "misdirected-request", /^Host: wanted .*, got "rebound\.example"$/),
      },
    ],
  },

  workersStatus: {
    good: nothing,
    so({ coordinator_version: version, workers }) {
      expect(version).toBe(VERSION);
      expect(workers.map(({ authority }) => authority)).toContain("worker-1");
    },
  },
  healthSummary: {
    async good(stage) {
      await stage.endpoint(2);
      return {};
    },
    async so({ success, summary }, _input, { client }) {
      const { endpoints } = await client.endpointsHealth({});
      const routes = endpoints.reduce((sum, one) => sum + one.total_routes, 0);
      expect([success, summary.total_endpoints, summary.total_routes]).toEqual([true, endpoints.length, routes]);
      expect(summary.healthy_routes + summary.unhealthy_routes + summary.unknown_routes).toBe(routes);
    },
  },
  endpointsHealth: {
    async good(stage) {
      await stage.endpoint(2);
      return {};
    },
    so({ success, endpoints }) {
      expect([success, endpoints.some((one) => one.total_routes === 2)]).toEqual([true, true]);
      for (const { total_routes: total, unknown_routes: unknown, routes } of endpoints)
        expect([total, unknown]).toEqual([routes.length, routes.length]);
    },
    // The worker may look at a kernel in between.
    same: ({ endpoints }) =>
      endpoints.map((one) => ({ ...one, routes: one.routes.map((route) => ({ ...route, last_health_check: null })) })),
  },
  circuitHealth: {
    good: async (stage) => ({ circuit_id: (await stage.endpoint(2)).circuit.id }),
    so({ success, circuits }, { circuit_id: id }) {
      expect([success, circuits.map((one) => [one.circuit_id, one.total_routes, one.all_routes.length])]).toEqual([
        true,
        [[id, 2, 2]],
      ]);
    },
    same: ({ circuits }) =>
      circuits.map((one) => ({
        ...one,
        all_routes: one.all_routes.map((route) => ({ ...route, last_health_check: null })),
      })),
  },
};
