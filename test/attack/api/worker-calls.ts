/** The calls of a worker's own API, which has no document: what it may answer is written down here. */
import type { Stage } from "../../coordinator/calls/stage.ts";
import type { Given } from "./attempt.ts";
import type { Parameter, Promised } from "./document.ts";
import type { Schema } from "./schema.ts";

export interface WorkerCall {
  path: string;
  promised: Promised;
  good: (stage: Stage) => Promise<Given>;
}

export const WORKER_CALLS: readonly WorkerCall[] = [
  ...["/", "/status", "/health", "/health/livez", "/health/status"].map((path) => call(path, [[200, json()]])),
  call("/health/readyz", [[200, json()], [503, json()]]),
  call("/metrics", [[200, { "text/plain": { type: "string" } }], ...failures(403, 421)]),
  {
    // A page first clears what another person's app has left.
    ...call("/setup", [[200, { "text/html": { type: "string" } }], [204, {}], [302, {}], ...failures(400, 401, 403, 404)], [
      { name: "token", isRequired: true, schema: { type: "string" } },
      { name: "do-not-redirect", isRequired: false, schema: { type: "boolean" } },
    ]),
    good: async (stage) => {
      const { token, session_id } = await stage.token();
      const opened = await stage.client.open({ body: { token, session_id, app: "jupyter", protocol: "http", redirect: "/lab" } });
      return { query: { token: opened.token } };
    },
  },
]; // prettier-ignore

// --- internal ---

type Answer = [status: number, types: Record<string, Schema>];

function call(path: string, answers: readonly Answer[], query: Parameter[] = []): WorkerCall {
  const promised = {
    answers: new Map(answers.map(([status, types]) => [status, new Map(Object.entries(types))])),
    query,
    body: null,
  };
  return { path, promised, good: async () => ({}) };
}

function json(): Record<string, Schema> {
  return { "application/json": { type: "object" } };
}

function failures(...statuses: number[]): Answer[] {
  const types = { "application/problem+json": { $ref: "#/components/schemas/Problem" }, "text/html": { type: "string" } }; // prettier-ignore
  return statuses.map((status) => [status, types]);
}
