/** Calls to the coordinator. Every failure becomes `coordinator-connection-error`, or the coordinator's own 404. */
import { Type, type Static, type TSchema } from "@sinclair/typebox";
import { TypeCompiler, type TypeCheck } from "@sinclair/typebox/compiler";
import { kebabToSnake } from "../shared/bus/envelope.ts";
import { Failure, notFound, reason } from "../shared/failure.ts";
import { WorkerCircuits, type Heartbeat, type WorkerRegistration } from "../shared/schema/worker.ts";
import "../shared/schema/formats.ts";

/** What the worker needs of a registration's answer; the original's has fewer fields than ours. */
const Registered = Type.Object({ id: Type.String(), revision: Type.Optional(Type.Integer()) });
export type Registered = Static<typeof Registered>;

export interface CoordinatorClient {
  register(wanted: WorkerRegistration): Promise<Registered>;
  /** Throws object-not-found when the worker must register again. */
  heartbeat(workerId: string, beat: Heartbeat): Promise<Registered>;
  circuits(workerId: string): Promise<WorkerCircuits>;
  deregister(workerId: string, nodeId: string): Promise<void>;
}

const registeredCheck = TypeCompiler.Compile(Registered);
const circuitsCheck = TypeCompiler.Compile(WorkerCircuits);
const TIMEOUT_MS = 10_000;

/** `endpoint` is the coordinator's URL, with or without a slash at the end. */
export function createCoordinatorClient(endpoint: string, apiSecret: string): CoordinatorClient {
  const base = endpoint.replace(/\/+$/, "");

  async function call<T extends TSchema>(
    method: string,
    path: string,
    body: unknown,
    check: TypeCheck<T>,
  ): Promise<Static<T>> {
    const answer = await send(method, path, body);
    const value = kebabToSnake(await answer.json());
    if (check.Check(value)) return value;
    const fault = check.Errors(value).First();
    throw unreachable(`${method} ${path} answered something else: ${fault?.path ?? ""} ${fault?.message ?? ""}`);
  }

  async function send(method: string, path: string, body: unknown): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(base + path, {
        method,
        headers: { "X-BackendAI-Token": apiSecret, Accept: "application/json", "Content-Type": "application/json" },
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw unreachable(`${method} ${base}${path}: ${reason(error)}`, error);
    }
    if (answer.ok) return answer;
    const text = (await answer.text()).slice(0, 500);
    if (answer.status === 404) throw notFound("worker");
    if (answer.status === 401 || answer.status === 403) {
      throw new Failure(
        "appproxy/worker-registration-error",
        `the coordinator refuses this worker (${answer.status}); does secrets.api_secret differ?`,
      );
    }
    throw unreachable(`${method} ${base}${path} answered ${answer.status}: ${text}`);
  }

  return {
    register: (wanted) => call("PUT", "/api/worker", wanted, registeredCheck),
    heartbeat: (id, beat) => call("PATCH", `/api/worker/${id}`, beat, registeredCheck),
    circuits: (id) => call("GET", `/api/worker/${id}/circuits`, undefined, circuitsCheck),
    async deregister(id, nodeId) {
      await send("DELETE", `/api/worker/${id}?node_id=${encodeURIComponent(nodeId)}`, undefined);
    },
  };
}

// --- internal ---

function unreachable(msg: string, cause?: unknown): Failure {
  return new Failure("appproxy/coordinator-connection-error", { msg, cause });
}
