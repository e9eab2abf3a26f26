/**
 * This node's contact with the coordinator: under which id it is registered, whether the last call has succeeded, and which
 * revision the coordinator has told last. Knows nothing of what the calls are for.
 */
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Failure, reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import { contradictions } from "../../shared/protocol/facts.ts";
import {
  Worker,
  type Heartbeat,
  type WorkerCircuits,
  type WorkerRegistration,
} from "../../shared/protocol/schema/worker.ts";
import type { CoordinatorClient, Registered } from "./coordinator-client.ts";
import type { Revision } from "../../shared/protocol/revision.ts";

export interface ContactDeps {
  registration: WorkerRegistration;
  nodeId: string;
  /** The node of this worker whose ports this process takes over, where that told its id. */
  supersedes: string | null;
  coordinator: CoordinatorClient;
  log: Log;
  /** What the coordinator answers to a registration or heartbeat. */
  told: (answer: Registered) => void;
}

export interface ContactState {
  /** Null before the first registration. */
  workerId: string | null;
  /** True when the last call to the coordinator succeeded. */
  reachable: boolean;
  /** The coordinator's revision, as it was last told. */
  latest: number | null;
  /** This node has left: it registers no more. */
  hasLeft: boolean;
  /** The coordinator has refused what this node says of its worker, as another living node says otherwise. */
  isContradicted: boolean;
}

export interface Contact {
  state(): Readonly<ContactState>;
  /** Registers this node; does nothing when it has left. */
  register(): Promise<void>;
  /** Whether an answer shows another worker than the one that this node has registered. An older coordinator shows less. */
  isAnother(answer: Registered): boolean;
  /** Rejects with object-not-found when this node must register again. */
  heartbeat(said: Omit<Heartbeat, "node_id" | "jwt_keys" | "slots">): Promise<Registered>;
  /** All circuits, or what has changed since what is known. Rejects before the first registration. */
  circuits(have: Revision | null): Promise<WorkerCircuits>;
  /** Registers no more from now on. */
  leave(): void;
  /** Says good-bye; when that fails, this node's lease runs out. */
  deregister(): Promise<void>;
}

export function createContact(deps: ContactDeps): Contact {
  const { registration, nodeId, supersedes, coordinator, log, told } = deps;
  const state: ContactState = {
    workerId: null,
    reachable: false,
    latest: null,
    hasLeft: false,
    isContradicted: false,
  };

  async function call<T>(work: () => Promise<T>): Promise<T> {
    try {
      const value = await work();
      if (!state.reachable) log.info("coordinator is reachable");
      state.reachable = true;
      return value;
    } catch (error) {
      // It has answered.
      state.reachable =
        error instanceof Failure && (error.kind === "object-not-found" || error.kind === "appproxy/worker-conflict");
      throw error;
    }
  }

  function registered(): string {
    if (state.workerId === null) throw new Failure("service-unavailable", "not registered yet");
    return state.workerId;
  }

  const isAnother = (answer: Registered) => shown.Check(answer) && contradictions(answer, registration).length > 0;

  function accept(answer: Registered): void {
    state.workerId = answer.id;
    told(answer);
    log.info({ worker_id: answer.id }, "registered");
  }

  return {
    state: () => state,
    async register() {
      if (state.hasLeft) return;
      const wanted = { ...registration, node_id: nodeId, ...(supersedes === null ? {} : { supersedes }) };
      try {
        const answer = await call(() => coordinator.register(wanted));
        state.isContradicted = false;
        accept(answer);
      } catch (error) {
        state.isContradicted = error instanceof Failure && error.kind === "appproxy/worker-conflict";
        throw error;
      }
    },
    isAnother,
    async heartbeat(said) {
      const id = registered();
      const answer = await call(() =>
        coordinator.heartbeat(id, { ...said, node_id: nodeId, jwt_keys: registration.jwt_keys ?? null }),
      );
      if (!isAnother(answer)) state.isContradicted = false;
      told(answer);
      state.latest = answer.revision ?? null;
      return answer;
    },
    async circuits(have) {
      const id = registered();
      const answer = await call(() => coordinator.circuits(id, nodeId, have));
      state.latest = answer.revision ?? null;
      return answer;
    },
    leave: () => void (state.hasLeft = true),
    async deregister() {
      if (state.workerId === null) return;
      await coordinator.deregister(state.workerId, nodeId).catch((error: unknown) => {
        log.warn({ reason: reason(error) }, "cannot deregister; the lease will expire");
      });
    },
  };
}

// --- internal ---

/**
 * An answer of ours, which shows what is recorded. The original's record lacks some of it, and does not take all of it from a
 * later registration: it would be another's for ever.
 */
const shown = TypeCompiler.Compile(Type.Omit(Worker, ["slots"]));
