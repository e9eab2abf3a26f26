/**
 * The proxy under test: a listener of an engine, whose core lets everybody in and leads to one app. What the
 * worker's core decides of a message alone (worker/core/decide.ts), and what it changes, is the same here.
 */
import { isRepeatable } from "../../../worker/upstreams/attempts.ts";
import { ALONE } from "../../support/listening.ts";
import { Failure } from "../../../shared/failure.ts";
import { isHost, isTarget } from "../../../shared/http/target.ts";
import { socketsEngine } from "../../../worker/engine/sockets/engine.ts";
import { answerEdits } from "../../../worker/http/answer-edits.ts";
import { mayTrail, requestEdits } from "../../../worker/http/headers.ts";
import type { Attempt, Core, Decision, Engine, Keeper, Kept, RequestHead } from "../../../worker/seam/engine.ts";
import { judged } from "../../../worker/net/targets.ts";

export interface Proxy {
  port: number;
  /** Requests that are under way. */
  attempts(): number;
  close(): Promise<void>;
}

export function startProxy(app: { port: number }, engine: Engine = socketsEngine): Proxy {
  const kept: Kept[] = [];
  const route: Keeper = { removed: false, kept };
  const open = new Set<Attempt>();
  const core: Core<null> = {
    decide: (head) => decide(head, engine, () => attemptOver(route, app.port, open)),
    failed: ({ httpStatus }) => ({ status: httpStatus, headers: [], body: "" }),
    upstreamFault: (fault) => new Failure("appproxy/container-connection-refused", fault.message),
    admit: () => null,
    unanswered: () => undefined,
  };
  const frontend = { mode: "port", port: 80 } as const;
  const listener = engine.listen({ ...ALONE, frontend }, core);
  return {
    port: listener.port,
    attempts: () => open.size,
    async close() {
      await listener.close("now");
      for (const one of kept.splice(0)) one.close();
    },
  };
}

// --- internal ---

function decide(head: RequestHead, { capabilities }: Engine, attempt: () => Attempt): Decision<null> {
  const failure = failureOf(head);
  if (failure !== null) return { kind: "refuse", failure, circuit: null };
  const by = { chain: [head.peer], proto: "http", host: head.authority, isTrusted: false };
  return {
    kind: "forward",
    circuit: null,
    attempt: attempt(),
    edits: requestEdits(head, by, {
      app: "",
      authorization: true,

      trailers: capabilities.trailers,
      tunnels: capabilities.tunnels,
    }),
    answerEdits: (answer, status) =>
      answerEdits(answer, status, {
        add: [],
        cors: [],
        policy: [],
        frames: [],
        rules: new Map(),
        host: head.authority,
      }),
    repeatable: isRepeatable(head),
    mayTrail,
    answered: undefined,
  };
}

function failureOf({ method, authority, target }: RequestHead): Failure | null {
  if (method === "CONNECT" || method === "TRACE") return new Failure("method-not-allowed", `${method} is not proxied`);
  if (!isHost(authority)) return new Failure("generic-bad-request", "Host: wanted one host");
  return isTarget(target) ? null : new Failure("generic-bad-request", "Request target: wanted printable ASCII");
}

function attemptOver(upstream: Keeper, port: number, open: Set<Attempt>): Attempt {
  const attempt: Attempt = {
    target: judged("127.0.0.1", port),
    upstream,
    starting: false,
    stop: () => undefined,
    drain: undefined,
    ended: () => undefined,
    moved: () => undefined,
    connected: () => undefined,
    next(_fault, { stale }) {
      open.delete(attempt);
      return stale ? attemptOver(upstream, port, open) : null;
    },
    release: () => void open.delete(attempt),
  };
  open.add(attempt);
  return attempt;
}
