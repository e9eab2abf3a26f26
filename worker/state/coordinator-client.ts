/** Calls to the coordinator. Every failure becomes `coordinator-connection-error`, or the coordinator's own 404. */
import { Type, type Static } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { fromPeer } from "../../shared/protocol/envelope.ts";
import { CallFailed, createClient, type ClientOptions } from "../../shared/client/client.ts";
import { isRecord } from "../../shared/values.ts";
import { Failure, notFound } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { operations } from "../../shared/protocol/operations.ts";
import type { RefusedReport } from "../../shared/protocol/schema/api.ts";
import { nullable } from "../../shared/protocol/schema/basics.ts";
import { Circuit } from "../../shared/protocol/schema/circuit.ts";
import {
  WorkerCircuits,
  type Heartbeat,
  type ServiceWorkers,
  type WorkerRegistration,
} from "../../shared/protocol/schema/worker.ts";
import type { Revision } from "../../shared/protocol/revision.ts";

/** What the worker needs of a registration's answer; the original's has fewer fields than ours. */
const Registered = Type.Object({
  id: Type.String(),
  revision: Type.Optional(Type.Integer()),
  digest: Type.Optional(Type.Integer()),
  home_url: Type.Optional(nullable(Type.String())),
});
export type Registered = Static<typeof Registered>;

export interface CoordinatorClient {
  /** Throws worker-conflict when another living node of the authority says otherwise. */
  register(wanted: WorkerRegistration): Promise<Registered>;
  /** Throws object-not-found when the worker must register again. */
  heartbeat(workerId: string, beat: Heartbeat): Promise<Registered>;
  /** All circuits; of what is known already, only what has changed, when the coordinator can say so. */
  circuits(workerId: string, nodeId: string, have: Revision | null): Promise<WorkerCircuits>;
  deregister(workerId: string, nodeId: string): Promise<void>;
  /** Tells of kernels that refuse; of a circuit that is gone there is nothing to tell. */
  reportRefused(circuitId: string, report: RefusedReport): Promise<void>;
  /** Tells on which slots apps register service workers. False when it does not know the call, or this worker. */
  noteServiceWorkers(workerId: string, told: ServiceWorkers): Promise<boolean>;
}

/** Of a coordinator of any version: circuits are judged one by one, and of other answers only what is needed counts. */
const calls = {
  register: { ...operations.registerWorker, answer: Registered },
  heartbeat: { ...operations.heartbeat, answer: Registered },
  circuits: {
    ...operations.getWorkerCircuits,
    answer: Type.Object({ ...WorkerCircuits.properties, circuits: Type.Array(Type.Unknown()) }),
  },
  deregister: { ...operations.deregisterWorker, answer: Type.Unknown() },
  reportRefused: { ...operations.reportRefused, answer: Type.Unknown() },
  noteServiceWorkers: { ...operations.noteServiceWorkers, answer: Type.Unknown() },
};
const circuitCheck = TypeCompiler.Compile(Circuit);
const TIMEOUT_MS = 10_000;

export function createCoordinatorClient(
  coordinator: Pick<ClientOptions, "baseUrl" | "secret" | "verifyTls" | "dated">,
  log: Log,
): CoordinatorClient {
  const client = createClient(calls, { ...coordinator, timeout: TIMEOUT_MS, read: fromPeer });
  return {
    register: (wanted) => client.register({ body: wanted }).catch(refused),
    heartbeat: (id, said) => {
      // Nobody here reads the slots: a list of thousands every ten seconds.
      const beat = { ...said, slots: false };
      return client
        .heartbeat({ worker_id: id, body: beat })
        .catch((error: unknown) => {
          // Better a worker whose kernels nobody knows than one that is thought dead.
          if (!(error instanceof CallFailed) || error.status !== 413 || beat.routes == null) throw error;
          log.warn("the heartbeat is too long for the coordinator, or a proxy before it: sent without route reports");
          return client.heartbeat({ worker_id: id, body: { ...beat, routes: null } });
        })
        .catch(refused);
    },
    async circuits(id, nodeId, have) {
      const { digest, ...answer } = await client
        .circuits({
          worker_id: id,
          query: { ...(have === null ? {} : { since: have.number, epoch: have.epoch }), node_id: nodeId },
        })
        .catch(refused);
      const readable = answer.circuits.filter((circuit) => isReadable(circuit, log));
      // Of circuits that are left out there is no digest.
      const isWhole = readable.length === answer.circuits.length;
      return { ...answer, circuits: readable, ...(isWhole && digest !== undefined ? { digest } : {}) };
    },
    async deregister(id, nodeId) {
      await client.deregister({ worker_id: id, query: { node_id: nodeId } }).catch(refused);
    },
    async reportRefused(id, report) {
      await client.reportRefused({ circuit_id: id, body: report }).catch((error: unknown) => {
        // It has ended, or is another worker's by now.
        if (!(error instanceof CallFailed) || (error.status !== 404 && error.status !== 403)) refused(error);
      });
    },
    noteServiceWorkers: (id, told) =>
      client.noteServiceWorkers({ worker_id: id, body: told }).then(
        () => true,
        (error: unknown) => (error instanceof CallFailed && error.status === 404 ? false : refused(error)),
      ),
  };
}

// --- internal ---

/** One strange circuit of another version's coordinator must not keep all others from being served. */
function isReadable(circuit: unknown, log: Log): circuit is Circuit {
  if (circuitCheck.Check(circuit)) return true;
  const fault = circuitCheck.Errors(circuit).First();
  const id = isRecord(circuit) ? circuit["id"] : null;
  log.warn(
    { circuit: id, reason: `${fault?.path ?? ""}: ${fault?.message ?? ""}` },
    "a circuit can't be read; left out",
  );
  return false;
}

/** What a failed call means to a worker. Always throws. */
function refused(error: unknown): never {
  if (!(error instanceof CallFailed)) throw error;
  if (error.status === 404) throw notFound("worker");
  if (error.status === 409) throw new Failure("appproxy/worker-conflict", error.problem?.msg ?? error.message);
  if (error.status === 401 || error.status === 403) {
    throw new Failure(
      "appproxy/worker-registration-error",
      `the coordinator refuses this worker (${error.status}); does secrets.api_secret, or this worker's secrets.worker_secret, differ?`,
    );
  }
  throw new Failure("appproxy/coordinator-connection-error", { msg: error.message, cause: error });
}
