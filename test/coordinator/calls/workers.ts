/** Workers' own calls, and the lists of workers and slots. */
import { expect } from "bun:test";
import type { Plan } from "./plan.ts";
import type { Stage } from "./stage.ts";

type Workers =
  | "registerWorker"
  | "heartbeat"
  | "deregisterWorker"
  | "listWorkers"
  | "getWorker"
  | "getWorkerCircuits"
  | "listSlots"
  | "noteServiceWorkers"
  | "workersV1";

const someWorker = async (stage: Stage) => ({ worker_id: (await stage.worker()).id });
const BAD_NODE = /^node_id: wanted text like \S+( or null)?, got "a b"$/;

export const workers: { [N in Workers]: Plan<N> } = {
  registerWorker: {
    good: async (stage) => ({ body: stage.registration() }),
    async so(answer, { body }, stage) {
      const { node_id: _node, ...wanted } = body;
      expect(answer).toMatchObject({ ...wanted, status: "ALIVE", nodes: 1, available_slots: 2, occupied_slots: 0 });
      const all = await stage.client.workersV1({});
      expect(all.filter(({ authority }) => authority === body.authority)).toHaveLength(1);
    },
    same: ({ updated_at: _updated, ...rest }) => rest,
    refused: [
      {
        kind: "appproxy/worker-conflict",
        what: "other ports than a living node has told",
        msg: /^authority: "other-\d+" is a living worker's, which says otherwise: port_range: \[30000,30001\] there, \[30000,30002\] here; wanted an authority of its own, or the same configuration$/,
        async ask(stage) {
          const body = stage.registration();
          await stage.client.registerWorker({ body });
          return { body: { ...body, node_id: "node-2", port_range: [30_000, 30_002] } };
        },
      },
      {
        kind: "invalid-api-params",
        what: "no range of ports",
        msg: "port_range: wanted [first, last] for a worker in port mode, got null",
        spoil: ({ body }) => ({ body: { ...body, port_range: null } }),
      },
      {
        kind: "invalid-api-params",
        what: "an unknown mode",
        msg: 'frontend_mode: wanted one of port, wildcard, got "tunnel"',
        spoil: ({ body }) => ({ body: { ...body, frontend_mode: "tunnel" } }),
      },
      {
        kind: "invalid-api-params",
        what: "a host name that no URL can have",
        msg: /^hostname: wanted/,
        spoil: ({ body }) => ({ body: { ...body, hostname: "worker one" } }),
      },
      {
        kind: "invalid-api-params",
        what: "a domain that no URL can have",
        msg: /^wildcard_domain: wanted/,
        spoil: ({ body }) => ({ body: { ...body, frontend_mode: "wildcard", wildcard_domain: ".apps example" } }),
      },
    ],
  },

  heartbeat: {
    good: async (stage) => ({ ...(await someWorker(stage)), body: { node_id: "node-1", revision: 0 } }),
    so: ({ id, status, nodes }, { worker_id }) => expect({ id, status, nodes }).toEqual({ id: worker_id, status: "ALIVE", nodes: 1 }), // prettier-ignore
    refused: [
      {
        kind: "invalid-api-params",
        what: "a bad node id",
        msg: BAD_NODE,
        spoil: (good) => ({ ...good, body: { node_id: "a b" } }),
      },
    ],
  },

  deregisterWorker: {
    good: async (stage) => ({ ...(await someWorker(stage)), query: { node_id: "node-1" } }),
    async so({ success }, { worker_id }, stage) {
      const { status, nodes } = await stage.client.getWorker({ worker_id });
      expect({ success, status, nodes }).toEqual({ success: true, status: "TERMINATED", nodes: 0 });
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "a bad node id",
        msg: BAD_NODE,
        spoil: (good) => ({ ...good, query: { node_id: "a b" } }),
      },
    ],
  },

  listWorkers: {
    async good(stage) {
      await stage.worker();
      return {};
    },
    so({ workers: all }) {
      const names = all.map(({ authority }) => authority);
      expect(names).toContain("worker-1");
      expect(names).toEqual([...new Set(names)].toSorted());
    },
  },

  getWorker: {
    good: someWorker,
    so: ({ id, slots }, { worker_id }) => expect([id, slots.length]).toEqual([worker_id, 2]),
  },

  getWorkerCircuits: {
    good: async (stage) => ({ worker_id: (await stage.circuit()).worker }),
    async so({ circuits }, { worker_id }, { client }) {
      const { circuits: all } = await client.listCircuits({ query: { worker: worker_id, limit: 1000 } });
      expect(circuits.map(({ id }) => id).toSorted()).toEqual(all.map(({ id }) => id).toSorted());
      expect(circuits.length).toBeGreaterThan(0);
    },
  },

  noteServiceWorkers: {
    async good(stage) {
      const { worker: worker_id, port, subdomain, user_id } = await stage.circuit();
      return { worker_id, body: { slots: [{ port, subdomain, user_id }] } };
    },
    async so(
      { success },
      {
        body: {
          slots: [told],
        },
      },
      { client },
    ) {
      const { slots } = await client.listSlots({ query: { wsproxy_host: "worker-1" } });
      const kept = slots.find(({ port }) => port === told?.port)?.service_worker_of;
      expect([success, kept]).toEqual([true, told?.user_id ?? ""]);
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "a port that is none",
        msg: "slots.0.port: wanted an integer from 1 to 65535 or null, got 0",
        spoil: (good) => ({ ...good, body: { slots: [{ port: 0, subdomain: null, user_id: null }] } }),
      },
    ],
  },

  listSlots: {
    async good(stage) {
      await stage.circuit();
      return { query: { wsproxy_host: "worker-1" } };
    },
    async so({ slots }, _input, { client }) {
      const { circuits } = await client.listCircuits({ query: { worker: "worker-1", limit: 1000 } });
      expect(slots.map((slot) => [slot.circuit_id, slot.port, slot.in_use]).toSorted()).toEqual(
        circuits.map((one) => [one.id, one.port, true]).toSorted(),
      );
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "in_use that is neither",
        msg: 'in_use: wanted true or false, got "maybe"',
        spoil: () => ({ query: { in_use: "maybe" } }),
      },
      {
        kind: "object-not-found",
        what: "a worker of nobody's",
        msg: "worker",
        spoil: () => ({ query: { wsproxy_host: "nobody" } }),
      },
    ],
  },

  workersV1: {
    async good(stage) {
      await stage.worker();
      return {};
    },
    async so(answer, _input, { client }) {
      const { workers: all } = await client.listWorkers({});
      expect(answer.map(({ authority }) => authority)).toEqual(all.map(({ authority }) => authority));
    },
  },
};
