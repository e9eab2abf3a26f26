/** Calls to the coordinator. Every failure becomes `coordinator-connection-error`, or the coordinator's own 404. */
import { Type, type Static, type TSchema } from "@sinclair/typebox";
import { TypeCompiler, type TypeCheck } from "@sinclair/typebox/compiler";
import { fromPeer } from "../shared/bus/envelope.ts";
import { isRecord } from "../shared/config/fields.ts";
import { Failure, notFound, reason } from "../shared/failure.ts";
import { silentLog, type Log } from "../shared/log.ts";
import { Circuit } from "../shared/schema/circuit.ts";
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
/** Circuits are judged one by one. */
const snapshotCheck = TypeCompiler.Compile(
  Type.Object({ ...WorkerCircuits.properties, circuits: Type.Array(Type.Unknown()) }),
);
const circuitCheck = TypeCompiler.Compile(Circuit);
const TIMEOUT_MS = 10_000;

/** `endpoint` is the coordinator's URL, with or without a slash at the end. */
export function createCoordinatorClient(
  endpoint: string,
  apiSecret: string,
  log: Log = silentLog(),
): CoordinatorClient {
  const base = endpoint.replace(/\/+$/, "");

  async function call<T extends TSchema>(
    method: string,
    path: string,
    body: unknown,
    check: TypeCheck<T>,
  ): Promise<Static<T>> {
    const answer = await send(method, path, body);
    const value = fromPeer(await answer.json());
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
    async circuits(id) {
      const snapshot = await call("GET", `/api/worker/${id}/circuits`, undefined, snapshotCheck);
      return { ...snapshot, circuits: snapshot.circuits.filter((circuit) => isReadable(circuit, log)) };
    },
    async deregister(id, nodeId) {
      await send("DELETE", `/api/worker/${id}?node_id=${encodeURIComponent(nodeId)}`, undefined);
    },
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

function unreachable(msg: string, cause?: unknown): Failure {
  return new Failure("appproxy/coordinator-connection-error", { msg, cause });
}
