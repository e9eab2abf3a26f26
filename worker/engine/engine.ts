/**
 * The seam between the core, which decides on plain data, and an engine, which owns listeners and moves bytes.
 * The core knows neither `Request` nor sockets; an engine knows nothing of circuits, permits or routes.
 */
import type { Answer } from "../../shared/page.ts";
import type { Failure } from "../../shared/failure.ts";

/** How a connection came in. */
export type Frontend = { mode: "port"; port: number } | { mode: "wildcard" };

/** The head of a request, read lazily from what the engine has. */
export interface RequestHead {
  readonly method: string;
  /** Path and query as they were received. */
  readonly target: string;
  /** The value of a header, or null. */
  header(name: string): string | null;
  /** All headers. */
  pairs(): Iterable<[name: string, value: string]>;
  /** Address of the connection's other end. */
  readonly peer: string;
  readonly tls: boolean;
  readonly frontend: Frontend;
  /** True when the client asks for a WebSocket. */
  readonly upgrade: boolean;
}

/** Where to send a request, and how. */
export interface Forward {
  kind: "forward";
  host: string;
  port: number;
  /** Header lines for the app, without framing and hop-by-hop ones. */
  headers: [string, string][];
  /** Header lines to add to the app's answer. */
  answerHeaders: [string, string][];
  /** Says which of the app's `Set-Cookie` lines may pass, and how. Null drops one. */
  cookie: (line: string) => string | null;
  /** Bytes moved in either direction. */
  moved: () => void;
}

export type Decision = { kind: "refuse"; failure: Failure } | { kind: "answer"; answer: Answer } | Forward;

/** What an engine asks of the core. */
export interface Core {
  decide(head: RequestHead): Decision | Promise<Decision>;
  /** The answer for a failure: the core's refusal, or what went wrong upstream. */
  failed(failure: Failure, head: RequestHead): Answer;
  /** Which failure an upstream fault is. Not asked for when the client has left: that is nobody's failure. */
  upstreamFault(error: unknown, to: Forward): Failure;
}

export interface Listener {
  readonly port: number;
  /** Closes every connection at once, or lets requests end first. */
  close(how: "now" | "finish"): Promise<void>;
  /** Requests and WebSockets that are open. */
  open(): number;
}

export interface ListenOptions {
  hostname: string;
  port: number;
  tls: { cert: string; key: string } | null;
  /** How circuits are found for what comes in here; the port is the one seen from outside. */
  frontend: Frontend;
}

export interface Engine {
  /** Opens a listener. Throws when the address can't be had. */
  listen(options: ListenOptions, core: Core): Listener;
}
