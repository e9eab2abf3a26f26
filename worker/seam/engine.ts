/**
 * The seam between the core, which decides on plain data, and an engine, which owns listeners and moves bytes.
 * The core knows neither `Request` nor sockets; an engine knows nothing of circuits, permits or routes. Types only.
 *
 * `C` is what the core knows of a circuit. An engine gets it with a decision and hands it back with what went wrong since:
 * looked up again, the slot may be another person's by then.
 */
import type { Answer } from "../../shared/http/page.ts";
import type { Failure } from "../../shared/failure.ts";
import type { TlsPair } from "../../shared/runtime/tls.ts";
import type { Listener, Sharing } from "../listeners/types.ts";
import type { Target } from "../net/targets.ts";
import type { Connections } from "../net/connections.ts";
import type { UpstreamFault } from "../net/upstream-fault.ts";
import type { ServedFiles } from "../../shared/net/served-files.ts";
import type { UnfinishedMessages } from "../net/unfinished.ts";
import type { Capabilities } from "./capabilities.ts";

/** How a connection came in. */
export type Frontend = { mode: "port"; port: number } | { mode: "wildcard" };

/** The head of a request, read lazily from what the engine has. */
export interface RequestHead {
  readonly method: string;
  /** Path and query as they were received. */
  readonly target: string;
  /** Of HTTP, such as "1.1" or "2"; null where the engine is not told. */
  readonly version: string | null;
  /** The host that is asked for, perhaps with its port: of the target where it names one, else of `Host`. "" for none. */
  readonly authority: string;
  /** The value of a header, or null. */
  header(name: string): string | null;
  /** The names of all headers. */
  names(): Iterable<string>;
  /** Address of the connection's other end, or the client's, where a PROXY header tells it. */
  readonly peer: string;
  readonly tls: boolean;
  readonly frontend: Frontend;
  /** True when the client asks for a WebSocket. */
  readonly upgrade: boolean;
  /**
   * The same object for requests whose header lines are byte for byte the same: what was worked out of them alone still holds.
   * Undefined where the engine does not tell.
   */
  readonly alike?: object | undefined;
}

/** How far a request has come when it fails. */
export interface Progress {
  /** It has a body, of which some may have gone out. */
  hasBody: boolean;
  /** Nobody waits for the answer any more. */
  clientGone: boolean;
  /**
   * It may be sent again (`Forward.repeatable`), went over a connection that had been idle for a while, and got no byte: the
   * app was perhaps just closing it. The next attempt makes a connection.
   */
  stale: boolean;
}

/** What an engine keeps between requests, such as an idle connection. */
export interface Kept {
  /** Its route is gone. Must not throw. */
  close(): void;
}

/** A route as an engine knows it: what is kept for it ends with it, for its address may be another kernel's then. */
export interface Keeper {
  /** The route is gone: nothing is kept for it any more. */
  readonly removed: boolean;
  /** The engine's own; the last one is the newest. */
  readonly kept: Kept[];
}

/** One request or connection on its way over one route. The engine ends each with `next` or `release`. */
export interface Attempt {
  /** Where to connect: it says which addresses may be dialled. */
  readonly target: Target;
  /** Whose idle connections may be used. */
  readonly upstream: Keeper;
  /** True while an app that has never accepted a connection may still be starting. */
  readonly starting: boolean;
  /** Set by the engine: ends what is open, at once. Called when the route or its circuit goes. Must not throw. */
  stop: () => void;
  /** Set by the engine where the protocol can say that the worker stops: asks both sides to end. Must not throw. */
  drain: ((atOnce: boolean) => void) | undefined;
  /** Set by the engine: it is over, and no other one follows for the same request. Must not throw. */
  ended: () => void;
  /** Bytes moved in either direction. Cheap: called for every chunk. */
  moved: () => void;
  /** The app has accepted the connection; `isNew` is false for one that was kept, which says nothing of further ones. */
  connected(isNew: boolean): void;
  /** It has failed, and is over: what its route did is noted. Gives the next one for the same request; null for none. */
  next(fault: UpstreamFault, progress: Progress): Attempt | null;
  /** It is over. More than once does no harm. */
  release(): void;
}

/** Changes to header lines, so that an engine need not copy those that stay as they came. Never changed once they are made. */
export interface HeaderEdits {
  /** Names in lower case. */
  remove: readonly string[];
  /** These replace all lines of their names. */
  set: readonly [name: string, value: string][];
  /** These come besides. */
  add: readonly [name: string, value: string][];
}

/** The header lines of an app's answer, read where the engine has them: `Headers` is one such. */
export interface AnswerLines {
  /** All values of a name joined by commas, or null. */
  get(name: string): string | null;
  /** All names, in lower case. */
  keys(): Iterable<string>;
  getSetCookie(): string[];
}

/** Where to send a request, and how. */
export interface Forward<C> {
  kind: "forward";
  circuit: C;
  attempt: Attempt;
  /** What changes in the header lines for the app. */
  edits: HeaderEdits;
  /** What changes in the header lines of the app's answer. The same function finds the same for the same lines and status. */
  answerEdits: (answer: AnswerLines, status: number) => HeaderEdits;
  /** It may be sent once more where its connection was perhaps being closed; else it needs one that is fresh. */
  repeatable: boolean;
  /** Whether a field of this name, in lower case, may stand in trailers, of the request or of the answer. */
  mayTrail: (name: string) => boolean;
  /** Wants to know the status of the app's answer. */
  answered: ((status: number) => void) | undefined;
}

/** A refusal's circuit is null when the request was for none. */
export type Decision<C> =
  | { kind: "refuse"; failure: Failure; circuit: C | null }
  | { kind: "answer"; answer: Answer }
  | Forward<C>;

/** A TCP connection that has just come in. */
export interface Arrival {
  /** As that of a request. */
  readonly peer: string;
  /** The port as it is seen from outside. */
  readonly port: number;
}

/** Where a TCP connection goes. */
export interface Admission<C> {
  circuit: C;
  attempt: Attempt;
}

/** What an engine asks of the core. */
export interface Core<C> {
  decide(head: RequestHead): Decision<C> | Promise<Decision<C>>;
  /** The answer for a failure, the core's refusal or what went wrong upstream, of a decision about this circuit. */
  failed(failure: Failure, head: RequestHead, circuit: C | null): Answer;
  /** Which failure an upstream fault is. Not asked for when the client has left: that is nobody's failure. */
  upstreamFault(fault: UpstreamFault, attempt: Attempt): Failure;
  /** Where a TCP connection goes; null closes it. */
  admit(arrival: Arrival): Admission<C> | null | Promise<Admission<C> | null>;
  /** No app took a TCP connection; null when it was not even admitted. */
  unanswered(arrival: Arrival, fault: UpstreamFault, circuit: C | null): void;
}

/** How long a client's connection may take for what, in milliseconds, and how long heads may be, in bytes. */
export interface ConnectionLimits {
  head: number;
  /** From the first byte of a request's head to its last. */
  headMs: number;
  /** Without a request. */
  idleMs: number;
  /** Without more of a body that the app waits for. */
  bodyMs: number;
  /** Without taking anything of what is there for the client. */
  readerMs: number;
}

/** Proxies in front that begin each connection with a PROXY header, which tells whose it is. */
export interface ProxyHeaders {
  /** Whether this address is one of them: its connections have to begin so, and no others are read for it. */
  from(peer: string): boolean;
  /** A connection of one of them was reset, and what was wrong with its header, without any of its bytes. Must not throw. */
  refused(proxy: string, reason: string): void;
}

export interface ListenOptions {
  hostname: string;
  port: number;
  tls: TlsPair | null;
  /** How circuits are found for what comes in here; the port is the one seen from outside. */
  frontend: Frontend;
  /** Null: nobody else may listen on the port. */
  sharing: Sharing | null;
  /** `Bun.serve` has limits of its own for heads and idle connections, and keeps those. */
  limits: ConnectionLimits;
  /** Null: every byte is the client's own. */
  proxyHeaders: ProxyHeaders | null;
  room: Room;
}

/** Where all listeners of a worker count their connections. */
export interface Room {
  connections: Connections;
  /** For an engine that does not own its sockets. */
  served: ServedFiles;
  /** For one that joins the fragments of WebSocket messages. */
  messages: UnfinishedMessages;
}

export interface Engine {
  readonly capabilities: Capabilities;
  /** Opens a listener for HTTP and WebSockets. Throws when the address can't be had. */
  listen<C>(options: ListenOptions, core: Core<C>): Listener;
  /** Opens a listener for raw TCP; `frontend` is a port. Throws when the address can't be had. */
  listenTcp<C>(options: TcpListenOptions, core: Core<C>): Listener;
}

export interface TcpListenOptions {
  hostname: string;
  /** The port to bind, and the same as it is seen from outside. */
  port: number;
  seenAs: number;
  /** Null: nobody else may listen on the port. */
  sharing: Sharing | null;
  /** Null: every byte is the client's own. */
  proxyHeaders: ProxyHeaders | null;
  room: Room;
}
