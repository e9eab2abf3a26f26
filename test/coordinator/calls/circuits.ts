/** Circuits: reading, listing and deleting them, in both versions of the API. */
import { expect } from "bun:test";
import { expectProblem, NOBODY, type Plan } from "./plan.ts";
import type { Stage } from "./stage.ts";

type Circuits =
  | "listCircuits"
  | "getCircuit"
  | "getStatistics"
  | "deleteCircuit"
  | "deleteCircuits"
  | "reportRefused"
  | "deleteCircuitV1"
  | "slotsV1";

const someCircuit = async (stage: Stage) => ({ circuit_id: (await stage.circuit()).id });

export const circuits: { [N in Circuits]: Plan<N> } = {
  listCircuits: {
    async good(stage) {
      const { session_ids: sessions } = await stage.circuit();
      return { query: { session_id: sessions[0] ?? "", limit: 10 } };
    },
    so({ circuits: found, next }, { query }) {
      expect(found.map((one) => one.session_ids)).toEqual([[query?.session_id ?? ""]]);
      expect(next).toBeNull();
    },
    refused: [
      {
        kind: "invalid-api-params",
        what: "a limit of 0 and a session that is no UUID",
        msg: 'session_id: wanted a UUID, got "me"; limit: wanted an integer from 1 to 1000, got 0',
        spoil: () => ({ query: { limit: 0, session_id: "me" } }),
      },
      {
        kind: "invalid-api-params",
        what: "a page after nothing",
        msg: `after: wanted \`next\` of a page or the id of an existing circuit, got "${NOBODY}"`,
        spoil: () => ({ query: { after: NOBODY } }),
      },
    ],
  },

  getCircuit: {
    good: someCircuit,
    so: ({ id }, { circuit_id: wanted }) => expect(id).toBe(wanted),
  },

  getStatistics: {
    good: someCircuit,
    so({ id, requests, ttl, last_access: last, created_at: created }, { circuit_id: wanted }) {
      expect({ id, requests, last }).toEqual({ id: wanted, requests: 0, last: Date.parse(created) });
      expect(ttl).toBeWithin(3000, 3601);
    },
    same: ({ ttl: _ttl, ...rest }) => rest,
    refused: [
      {
        place: "adrift",
        kind: "service-unavailable",
        what: "Redis away",
        msg: "Live data is away; try again",
        async ask({ client }) {
          const { circuits } = await client.listCircuits({ query: { limit: 1 } });
          return { circuit_id: circuits[0]?.id };
        },
      },
    ],
  },

  deleteCircuit: {
    good: someCircuit,
    so: ({ success }, input, stage) => isGone(success, [input.circuit_id], stage),
    same: null,
  },

  deleteCircuitV1: {
    good: someCircuit,
    so: ({ success }, input, stage) => isGone(success, [input.circuit_id], stage),
    same: null,
  },

  reportRefused: {
    async good(stage) {
      const { id, revision, route_info: routes } = await stage.circuit();
      return { circuit_id: id, body: { revision: revision ?? 0, routes } };
    },
    so: ({ success, ended }, { circuit_id: id }, stage) => {
      expect(ended).toBe(1);
      return isGone(success, [id], stage);
    },
    same: null,
  },

  deleteCircuits: {
    async good(stage) {
      const both = await Promise.all([stage.circuit(), stage.circuit()]);
      return { body: { circuit_ids: [...both.map(({ id }) => id), NOBODY] } };
    },
    so: ({ success }, { body }, stage) => isGone(success, [body?.circuit_ids ?? []].flat(), stage),
    refused: [
      {
        kind: "invalid-api-params",
        what: "an id that is none, beside a good one",
        msg: 'circuit_ids: wanted UUIDs, got "me"',
        spoil: ({ body }) => ({ body: { circuit_ids: [...(body?.circuit_ids ?? []), "me"] } }),
      },
      {
        kind: "invalid-api-params",
        what: "no ids",
        msg: "circuit_ids: wanted a list of UUIDs or a text of them with commas, got nothing",
        spoil: () => ({}),
      },
    ],
  },

  slotsV1: {
    async good(stage) {
      await stage.circuit();
      return {};
    },
    async so(answer, _input, stage) {
      const { circuits } = await stage.client.listCircuits({ query: { limit: 1000 } });
      expect(answer.map(({ rel }) => rel).toSorted()).toEqual(circuits.map(({ id }) => id).toSorted());
    },
  },
};

// --- internal ---

async function isGone(success: boolean, ids: string[], stage: Stage): Promise<void> {
  expect(success).toBe(true);
  for (const circuit_id of ids)
    expectProblem(await stage.send("getCircuit", { circuit_id }), "object-not-found", "circuit");
  const { slots } = await stage.client.listSlots({ query: { wsproxy_host: "worker-1" } });
  expect(slots.filter(({ circuit_id: id }) => ids.includes(id ?? ""))).toEqual([]);
}
