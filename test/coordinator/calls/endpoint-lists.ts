/** Calls about many model services. Entry by entry they are tested beside the endpoints' own tests; here they are calls. */
import { expect } from "bun:test";
import type { Plan } from "./plan.ts";
import { route, service, type Given, type Stage } from "./stage.ts";

type Lists = "syncEndpoints" | "deleteEndpoints" | "replaceRoutes" | "registerRoutes" | "unregisterRoutes";

export const endpointLists: { [N in Lists]: Plan<N> } = {
  syncEndpoints: {
    async good() {
      const ids = [crypto.randomUUID(), crypto.randomUUID()];
      return { body: { endpoints: ids.map((id) => ({ deployment_id: id, ...service(id) })) } };
    },
    async so({ endpoints }, { body }, stage) {
      const wanted = body.endpoints.map(async ({ deployment_id: id }) => {
        const { port } = await stage.circuitOf(id);
        return { deployment_id: id, url: `http://127.0.0.1:${port}/`, health_check_enabled: true, success: true, error: null };
      }); // prettier-ignore
      expect(endpoints).toEqual(await Promise.all(wanted));
    },
    refused: badLists(),
  },

  deleteEndpoints: {
    async good(stage) {
      const made = await Promise.all([stage.endpoint(), stage.endpoint(1)]);
      return { body: { endpoints: made.map((one) => ({ deployment_id: one.endpoint_id })) } };
    },
    async so({ endpoints }, { body }, stage) {
      expect(endpoints).toEqual(body.endpoints.map((one) => ({ ...one, success: true, error: null })));
      const ids = new Set(body.endpoints.map((one) => one.deployment_id));
      const left = await stage.client.endpointsHealth({});
      expect(left.endpoints.filter((one) => ids.has(one.endpoint_id))).toEqual([]);
    },
    refused: badLists(),
  },

  replaceRoutes: {
    async good(stage) {
      const { endpoint_id: id } = await stage.endpoint(1);
      return { body: { endpoints: [{ deployment_id: id, routes: [route(), route()] }] } };
    },
    async so({ endpoints }, { body }, stage) {
      const [{ deployment_id: id, routes } = none()] = body.endpoints;
      expect(endpoints).toEqual([{ deployment_id: id, success: true, error: null }]);
      expect(await routeIds(id, stage)).toEqual(routes.map((one) => one.route_id));
    },
    refused: badLists(),
  },

  registerRoutes: {
    async good(stage) {
      const { endpoint_id: id, routes } = await stage.endpoint(1);
      return { body: { endpoints: [{ deployment_id: id, routes: [...routes, route()] }] } };
    },
    async so({ endpoints }, { body }, stage) {
      const [{ deployment_id: id, routes } = none()] = body.endpoints;
      const [outcome] = endpoints;
      const told = [...(outcome?.already_registered_route_ids ?? []), ...(outcome?.registered_route_ids ?? [])];
      const ids = routes.map((one) => one.route_id);
      expect([outcome?.success, told, await routeIds(id, stage)]).toEqual([true, ids, ids]);
    },
    // The second time all are there already.
    same: ({ endpoints }) => endpoints.map(({ deployment_id: id, success, error }) => ({ id, success, error })),
    refused: badLists(),
  },

  unregisterRoutes: {
    async good(stage) {
      const { endpoint_id: id, routes } = await stage.endpoint(2);
      return { body: { endpoints: [{ deployment_id: id, route_ids: [routes[0]?.route_id ?? ""] }] } };
    },
    async so({ endpoints }, { body }, stage) {
      const [{ deployment_id: id, route_ids: ids } = { deployment_id: "", route_ids: [""] }] = body.endpoints;
      const [outcome] = endpoints;
      const told = [...(outcome?.unregistered_route_ids ?? []), ...(outcome?.already_absent_route_ids ?? [])];
      const left = await routeIds(id, stage);
      expect([outcome?.success, told, left.length, left.includes(ids[0] ?? "")]).toEqual([true, ids, 1, false]);
    },
    same: ({ endpoints }) => endpoints.map(({ deployment_id: id, success, error }) => ({ id, success, error })),
    refused: badLists(),
  },
};

// --- internal ---

const none = () => ({ deployment_id: "", routes: [route()] });

async function routeIds(endpointId: string, stage: Stage): Promise<(string | null)[]> {
  return (await stage.circuitOf(endpointId)).route_info.map((one) => one.route_id);
}

/** What is wrong with the list itself, and entries that nobody could be answered for. */
function badLists() {
  const bad = (what: string, msg: string, change: (endpoints: readonly object[]) => unknown) => ({
    kind: "invalid-api-params" as const,
    what,
    msg,
    spoil: ({ body }: { body: { endpoints: readonly object[] } }): Given => ({
      body: { endpoints: change(body.endpoints) },
    }),
  });
  return [
    bad("no list", "endpoints: wanted a list of at most 10000, got nothing", () => undefined),
    bad("an entry that is no object", "endpoints.0: wanted an object, got 5", () => [5]),
    bad("an entry without an id, after a good one", "endpoints.1.deployment_id: wanted a UUID, got nothing", (all) => [...all.slice(0, 1), {}]), // prettier-ignore
    bad("an entry whose id is none", 'endpoints.0.deployment_id: wanted a UUID, got "me"', () => [{ deployment_id: "me" }]), // prettier-ignore
  ];
}
