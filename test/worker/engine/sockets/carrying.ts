/** A listener of the engine on raw sockets, whose core carries every request to one app and changes no header line. */
import { Failure } from "../../../../shared/failure.ts";
import { socketsEngine } from "../../../../worker/engine/sockets/engine.ts";
import type { UpstreamFault } from "../../../../worker/net/upstream-fault.ts";
import type { TlsPair } from "../../../../shared/runtime/tls.ts";
import type {
  Attempt,
  ConnectionLimits,
  Core,
  Kept,
  Progress,
  RequestHead,
  Room,
} from "../../../../worker/seam/engine.ts";
import { ALONE, LIMITS } from "../../../support/listening.ts";
import { isRepeatable } from "../../../../worker/upstreams/attempts.ts";
import { atEnd } from "../../../support/at-end.ts";
import { dial } from "../../../contract/client.ts";
import { closeWires, type Wire } from "../../../contract/wire.ts";
import type { Upstream } from "../../../contract/upstreams.ts";
import { judged } from "../../../../worker/net/targets.ts";

/** A route that tells what is kept for it. */
class Route {
  removed = false;
  readonly kept: Kept[] = [];

  remove(): void {
    this.removed = true;
    for (const one of this.kept.splice(0)) one.close();
  }
}

export interface Carrying {
  port: number;
  route: Route;
  /** Heads as the core saw them. */
  heads: RequestHead[];
  /** All attempts so far. */
  attempts: Attempt[];
  /** How many of them are over. */
  released(): number;
  /** What went wrong upstream, and how far the request had come. */
  faults: { kind: UpstreamFault["kind"]; progress: Progress }[];
  /** A new connection to it. */
  connect(): Promise<Wire>;
  close(how: "now" | "finish"): Promise<void>;
}

export interface CarryingOptions {
  /** Instead of those at the one app. */
  attempt?: () => Attempt;
  limits?: Partial<ConnectionLimits>;
  /** Where its connections count. */
  room?: Room;
  /** Where it listens; on loopback otherwise. */
  hostname?: string;
  tls?: TlsPair;
  /** Decisions wait for it. */
  before?: Promise<unknown>;
  mayTrail?: (name: string) => boolean;
  /** Header lines to set. */
  set?: [string, string][];
  /** Stale requests go once more. */
  repeats?: boolean;
}

export function carryTo(app: Pick<Upstream, "port">, options: CarryingOptions = {}): Carrying {
  const route = new Route();
  const heads: RequestHead[] = [];
  const attempts: Attempt[] = [];
  const released = new Set<Attempt>();
  const faults: Carrying["faults"] = [];
  const attempt = (): Attempt => {
    const one: Attempt = {
      target: judged("127.0.0.1", app.port),
      upstream: route,
      starting: false,
      stop: () => undefined,
      drain: undefined,
      ended: () => undefined,
      moved: () => undefined,
      connected: () => undefined,
      next(fault, progress) {
        released.add(one);
        faults.push({ kind: fault.kind, progress });
        return options.repeats === true && progress.stale ? attempt() : null;
      },
      release: () => void released.add(one),
    };
    attempts.push(one);
    return one;
  };
  const core: Core<null> = {
    decide(head) {
      heads.push(head);
      const decision = () =>
        ({
          kind: "forward",
          circuit: null,
          attempt: options.attempt?.() ?? attempt(),
          edits: { remove: ["connection", "upgrade", "te"], set: options.set ?? [], add: [] },
          answerEdits: () => ({
            remove: ["connection", "upgrade", "keep-alive", "transfer-encoding"],
            set: [],
            add: [],
          }),
          repeatable: isRepeatable(head),
          mayTrail: options.mayTrail ?? (() => true),
          answered: undefined,
        }) as const;
      return options.before === undefined ? decision() : options.before.then(decision);
    },
    failed: ({ httpStatus, message }) => ({ status: httpStatus, headers: [], body: message }),
    upstreamFault: (fault) => new Failure("appproxy/container-connection-refused", fault.message),
    admit: () => null,
    unanswered: () => undefined,
  };
  const listener = socketsEngine.listen(
    {
      ...ALONE,
      room: options.room ?? ALONE.room,
      hostname: options.hostname ?? "127.0.0.1",
      tls: options.tls ?? null,
      limits: { ...LIMITS, ...options.limits },
    },
    core,
  );
  atEnd(async () => {
    closeWires();
    await listener.close("now");
  });
  return {
    port: listener.port,
    route,
    heads,
    attempts,
    released: () => released.size,
    faults,
    connect: () => dial(listener.port, options.hostname),
    close: (how) => listener.close(how),
  };
}
