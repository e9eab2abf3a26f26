/**
 * CORS preflights on circuits with bearer tokens: a browser sends them without the token, so the app would never see
 * one (dataplane H13). On every other circuit OPTIONS is a request like any other.
 */
import type { Answer } from "../../shared/http/page.ts";
import { readable, type Listed } from "./cors.ts";
import type { RequestHead } from "../seam/engine.ts";
import type { Entry } from "../circuits/table.ts";

/** A real preflight on a circuit that wants a bearer token, or by a page that may call it with the person's cookies. */
export function isPreflight(head: RequestHead, entry: Entry, listed: Listed): boolean {
  if (head.method !== "OPTIONS" || entry.circuit.open_to_public) return false;
  const origin = head.header("origin");
  if (origin === null || head.header("access-control-request-method") === null) return false;
  return entry.circuit.app_mode === "inference" || listed(entry, origin);
}

/** Lets the request come that is asked for. A token travels in a header: without credentials mode. */
export function preflightAnswer(head: RequestHead, { circuit }: Entry): Answer {
  const answer = allowing(head);
  return circuit.app_mode === "inference" ? answer : readable(answer, head.header("origin") ?? "");
}

// --- internal ---

function allowing(head: RequestHead): Answer {
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
