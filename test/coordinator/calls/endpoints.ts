/** Calls about one model service. */
import { expect } from "bun:test";
import { jwtVerify } from "jose";
import { JWT_SECRET } from "../../support/manager.ts";
import type { Plan } from "./plan.ts";
import { service } from "./stage.ts";

type Endpoints = "syncEndpoint" | "deleteEndpoint" | "setHealthCheck" | "mintToken";

const IN_AN_HOUR = () => Math.floor(Date.now() / 1000) + 3600;

export const endpoints: { [N in Endpoints]: Plan<N> } = {
  syncEndpoint: {
    async good() {
      const endpoint_id = crypto.randomUUID();
      return { endpoint_id, body: service(endpoint_id) };
    },
    async so(answer, { endpoint_id }, stage) {
      const circuit = await stage.circuitOf(endpoint_id);
      expect(answer).toEqual({
        success: true,
        endpoint: `http://127.0.0.1:${circuit.port}/`,
        health_check_enabled: true,
      });
      expect(circuit).toMatchObject({ endpoint_id, app_mode: "inference", route_info: [], open_to_public: false });
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "no name and a probe that is said to be needed with a word",
        msg: 'service_name: wanted text of length from 1 to 255, got nothing; health_check.enable: wanted true or false or null, got "yes"',
        spoil: (good) => ({
          ...good,
          body: { ...good.body, service_name: undefined, health_check: { enable: "yes" } },
        }),
      },
      {
        kind: "invalid-api-params",
        what: "an old URL that is none",
        msg: 'tags.endpoint.existing_url: wanted an http or https URL, got "llama"',
        spoil: ({ body, ...good }) => {
          const endpoint = { ...body.tags.endpoint, existing_url: "llama" };
          return { ...good, body: { ...body, tags: { ...body.tags, endpoint } } };
        },
      },
      {
        kind: "appproxy/port-not-available",
        what: "a port that is taken",
        msg: /^port: \d+ is already occupied by another circuit$/,
        spoil: async (good, stage) => ({ ...good, body: { ...good.body, port: (await stage.circuit()).port } }),
      },
      {
        kind: "appproxy/port-not-available",
        what: "a port of no worker",
        msg: /^port: 9 is in no worker's range; wanted one of \d+-\d+/,
        spoil: (good) => ({ ...good, body: { ...good.body, port: 9 } }),
      },
      { place: "empty", kind: "appproxy/worker-not-available", what: "no worker", msg: "No worker is alive" },
      {
        place: "deaf",
        kind: "service-unavailable",
        what: "a worker that acknowledges nothing",
        msg: "E10001: Proxy worker not responding",
      },
    ],
  },

  deleteEndpoint: {
    good: async (stage) => ({ endpoint_id: (await stage.endpoint(1)).endpoint_id }),
    async so({ success }, { endpoint_id }, stage) {
      const { endpoints } = await stage.client.endpointsHealth({});
      expect([success, endpoints.some((one) => one.endpoint_id === endpoint_id)]).toEqual([true, false]);
    },
  },

  setHealthCheck: {
    async good(stage) {
      const { endpoint_id } = await stage.endpoint();
      return { endpoint_id, body: { health_check: { path: "ready", interval: 30, max_retries: 2 } } };
    },
    async so({ success }, { endpoint_id }, stage) {
      const { health_check: check } = await stage.circuitOf(endpoint_id);
      expect(success).toBe(true);
      expect(check).toEqual({
        path: "/ready",
        interval: 30,
        max_retries: 2,
        max_wait_time: 15,
        expected_status_code: 200,
        initial_delay: 60,
      });
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "an interval in words",
        msg: 'health_check.interval: wanted a number or null, got "often"',
        spoil: (good) => ({ ...good, body: { health_check: { interval: "often" } } }),
      },
    ],
  },

  mintToken: {
    async good(stage) {
      const { endpoint_id } = await stage.endpoint();
      return { endpoint_id, body: { user_uuid: "11111111-2222-4333-8444-555555555555", exp: IN_AN_HOUR() } };
    },
    async so({ token }, { endpoint_id, body }, stage) {
      const { payload } = await jwtVerify(token, new TextEncoder().encode(JWT_SECRET), { algorithms: ["HS256"] });
      const { id, port } = await stage.circuitOf(endpoint_id);
      const app_url = `http://127.0.0.1:${port}/`;
      expect(payload).toMatchObject({ id, endpoint_id, app_url, user: body.user_uuid, exp: Number(body.exp) });
      expect(Object.keys(payload)).not.toContain("route_info");
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "a time that is over",
        msg: "exp: wanted a time to come, got 1",
        spoil: (good) => ({ ...good, body: { ...good.body, exp: 1 } }),
      },
      {
        kind: "invalid-api-params",
        what: "a time that is none",
        msg: 'exp: wanted an ISO 8601 time or epoch seconds, got "tomorrow"',
        spoil: (good) => ({ ...good, body: { ...good.body, exp: "tomorrow" } }),
      },
    ],
  },
};
