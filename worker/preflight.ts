/**
 * CORS preflights on circuits with bearer tokens: a browser sends them without the token, so the app would never see
 * one (dataplane H13). On every other circuit OPTIONS is a request like any other.
 */
import type { Answer } from "../shared/page.ts";
import type { RequestHead } from "./engine/engine.ts";
import type { Entry } from "./table.ts";

/** A real preflight on a circuit that wants a bearer token. */
export function isPreflight(head: RequestHead, { circuit }: Entry): boolean {
  return (
    head.method === "OPTIONS" &&
    circuit.app_mode === "inference" &&
    !circuit.open_to_public &&
    head.header("origin") !== null &&
    head.header("access-control-request-method") !== null
  );
}

/** Lets the request come that is asked for. Without credentials mode: the token travels in a header. */
export function preflightAnswer(head: RequestHead): Answer {
  return {
    status: 204,
    headers: [
      ["Access-Control-Allow-Origin", "*"],
      ["Access-Control-Allow-Methods", head.header("access-control-request-method") ?? "*"],
      ["Access-Control-Allow-Headers", head.header("access-control-request-headers") ?? "*"],
      ["Access-Control-Max-Age", "600"],
      ["Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"],
    ],
    body: "",
  };
}
