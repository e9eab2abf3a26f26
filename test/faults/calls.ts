/**
 * Calls to the coordinator, each with what is known of it afterwards: done, refused, or unknown because the connection
 * broke. A call is never given up: what a stopped coordinator does later would be nobody's.
 */
import { API_SECRET, confBody } from "../support/manager.ts";
import type { Authority, Cluster } from "./cluster.ts";

export type Outcome<T> =
  | { is: "done"; value: T }
  /** Answered with a failure: it has left nothing behind. */
  | { is: "refused"; status: number; why: string }
  /** Either outcome is possible, until the same call made again tells. */
  | { is: "unknown"; why: string };

export interface Opened {
  circuitId: string;
  redirectUrl: string;
  reuse: boolean;
}

export interface Wish {
  sessionId: string;
  /** Which worker comes first for it. */
  domain: Authority;
  app: string;
  isPublic: boolean;
  kernelPort: number;
}

export interface Calls {
  /** `POST /v2/conf` and `POST /v2/proxy/auth`. */
  open(wish: Wish): Promise<Outcome<Opened>>;
  /** Closes the session's circuits of the app, whatever they are: a success when there was none. */
  close(wish: Wish): Promise<Outcome<null>>;
  /** `DELETE /api/circuit/{id}`. */
  remove(circuitId: string): Promise<Outcome<null>>;
  /** A call with the api_secret. */
  api(method: string, path: string, body?: unknown): Promise<Outcome<Record<string, unknown>>>;
}

export function createCalls({ baseUrl }: Pick<Cluster, "baseUrl">): Calls {
  const api: Calls["api"] = (method, path, body) =>
    call(baseUrl + path, method, body, { "X-BackendAI-Token": API_SECRET });

  async function conf({ sessionId, domain, kernelPort }: Wish): Promise<Outcome<string>> {
    const { session, ...rest } = confBody({ session_id: sessionId, kernel_port: kernelPort });
    const body = { ...rest, session: { ...session, domain_name: domain } };
    const outcome = await call(`${baseUrl}/v2/conf`, "POST", body);
    return outcome.is === "done" ? { is: "done", value: String(outcome.value["token"]) } : outcome;
  }

  return {
    api,
    async open(wish) {
      const token = await conf(wish);
      if (token.is !== "done") return token;
      const outcome = await call(`${baseUrl}/v2/proxy/auth`, "POST", {
        app: wish.app,
        protocol: "http",
        token: token.value,
        session_id: wish.sessionId,
        open_to_public: wish.isPublic,
      });
      if (outcome.is !== "done") return outcome;
      const { circuit_id: circuitId, redirect_url: redirectUrl, reuse } = outcome.value;
      const value = { circuitId: String(circuitId), redirectUrl: String(redirectUrl), reuse: reuse === true };
      return { is: "done", value };
    },
    async close(wish) {
      const token = await conf(wish);
      if (token.is !== "done") return token;
      return nothing(await call(`${baseUrl}/v2/proxy/${token.value}/${wish.sessionId}/delete?app=${wish.app}`, "GET"));
    },
    remove: async (circuitId) => nothing(await api("DELETE", `/api/circuit/${circuitId}`)),
  };
}

// --- internal ---

/** Longer than a coordinator waits for any acknowledgement or is stopped. Milliseconds. */
const PATIENCE_MS = 40_000;

async function call(
  url: string,
  method: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Outcome<Record<string, unknown>>> {
  try {
    const answer = await fetch(url, {
      method,
      // `fetch` sends a call again by itself when a kept connection breaks.
      keepalive: false,
      headers: { "Content-Type": "application/json", Accept: "application/json", ...headers },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const text = await answer.text();
    if (answer.ok) return { is: "done", value: JSON.parse(text) as Record<string, unknown> };
    return { is: "refused", status: answer.status, why: text.slice(0, 300) };
  } catch (error) {
    return { is: "unknown", why: error instanceof Error ? error.message : String(error) };
  }
}

function nothing(outcome: Outcome<unknown>): Outcome<null> {
  return outcome.is === "done" ? { is: "done", value: null } : outcome;
}
