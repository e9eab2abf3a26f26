/** What a node says of kernels counts for its own worker's model services alone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { routeTo, service, startStage, type Stage } from "../../support/model-service.ts";

const ID = "0e000000-0000-4000-8000-00000000000b";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage.stop());

test("another worker's word is none, and a time to come is now", async () => {
  const mine = await stage.worker({ authority: "mine" });
  const filters = { filtered_apps_only: true, app_filters: [{ key: "session.domain_name", value: "nobody" }] };
  const other = await stage.worker({ authority: "other", port_range: [30_300, 30_309], ...filters });
  await stage.client.syncEndpoint({ endpoint_id: ID, body: service({ health_check: {} }) });
  await stage.client.replaceRoutes({ body: { endpoints: [{ deployment_id: ID, routes: [routeTo(1)] }] } });
  const circuit = await stage.circuitOf(ID);
  const circuit_id = circuit?.id ?? "";
  const route = circuit?.route_info[0]?.route_id ?? "";
  const says = (worker_id: string) =>
    stage.client.heartbeat({ worker_id, body: { node_id: "n1", routes: [{ circuit_id, routes: [[route, "unhealthy", 4e9, 999]] }] } }); // prettier-ignore
  const seen = async () => (await stage.client.circuitHealth({ circuit_id })).circuits[0]?.all_routes[0];
  await says(other.id);
  expect(await seen()).toMatchObject({ health_status: null, consecutive_failures: 0 });
  await says(mine.id);
  const told = await seen();
  expect(told).toMatchObject({ health_status: "unhealthy", consecutive_failures: 999 });
  expect(told?.last_health_check).toBeLessThanOrEqual(Date.now() / 1000);
});
