/** What a person asks of a circuit, judged and put into the store's terms. Pure. */
import { invalidEntries } from "../../shared/http/addresses.ts";
import { isRecord } from "../../shared/values.ts";
import { Failure } from "../../shared/failure.ts";
import { readOrigins } from "../../shared/http/origins.ts";
import { redirectPath } from "../../shared/http/redirect.ts";
import type { CircuitSpec } from "../../shared/protocol/schema/api.ts";
import { placementProtocol, type Route } from "../../shared/protocol/schema/circuit.ts";
import type { Purpose } from "../circuits/create.ts";
import type { ReuseKey } from "../store/circuit-queries.ts";
import type { CircuitRow, Content } from "../store/circuits.ts";
import type { TokenRow } from "../store/tokens.ts";
import type { SlotRequest } from "../placement/slot.ts";

/** Checks what the schema can't. Throws invalid-api-params. */
export function check(spec: CircuitSpec): void {
  envsOf(spec);
  const bad = invalidEntries(spec.allowed_client_ips ?? "");
  if (bad.length > 0) {
    throw new Failure(
      "invalid-api-params",
      `allowed_client_ips: wanted addresses or CIDR ranges, got ${JSON.stringify(bad[0])}`,
    );
  }
  const [stray] = readOrigins(spec.allowed_origins ?? "").bad;
  if (stray !== undefined) {
    throw new Failure(
      "invalid-api-params",
      `allowed_origins: wanted origins such as https://apps.example.com:10206, got ${JSON.stringify(stray)}`,
    );
  }
  if ((spec.redirect ?? "") !== "" && redirectPath(spec.redirect ?? "") === null) {
    throw new Failure(
      "invalid-api-params",
      "redirect: wanted a path that starts with a single / and has no backslash or control character",
    );
  }
}

/** The app's environment; it may come as JSON text. Throws invalid-api-params. */
export function envsOf({ envs }: CircuitSpec): Record<string, unknown> {
  if (typeof envs !== "string") return envs ?? {};
  const value = envs.trim() === "" ? {} : parseJson(envs);
  if (isRecord(value)) return value;
  if (value === null) return {};
  throw new Failure("invalid-api-params", "envs: wanted an object, or one as JSON text, got other text");
}

/** What circuits must share to be one. */
export function reuseKey(spec: CircuitSpec, token: TokenRow): ReuseKey {
  return {
    sessionId: token.sessionId,
    app: spec.app,
    protocol: placementProtocol(spec.protocol),
    openToPublic: spec.open_to_public ?? false,
    allowedClientIps: allowList(spec),
  };
}

/** Where the circuit may be. */
export function slotRequest(spec: CircuitSpec, token: TokenRow): SlotRequest {
  return {
    protocol: spec.protocol,
    mode: "interactive",
    userId: token.userId,
    facts: {
      "session.id": token.sessionId,
      "session.user_uuid": token.userId,
      "session.access_key": token.accessKey,
      ...(token.projectId === null ? {} : { "session.project_id": token.projectId }),
      ...(token.domainName === null ? {} : { "session.domain_name": token.domainName }),
    },
    port: spec.port ?? null,
    subdomain: spec.subdomain ?? null,
  };
}

/** What the circuit is to be. */
export function purposeOf(spec: CircuitSpec, token: TokenRow): Purpose {
  return {
    app: spec.app,
    protocol: placementProtocol(spec.protocol),
    appMode: "interactive",
    envs: envsOf(spec),
    arguments: spec.args ?? null,
    openToPublic: spec.open_to_public ?? false,
    allowedClientIps: allowList(spec),
    allowedOrigins: originList(spec),
    userId: token.userId,
    routeInfo: [routeTo(token, spec)],
  };
}

/** What a spec changes of a circuit that is there already; null for nothing. */
export function changeOf(spec: CircuitSpec, { allowedOrigins: before }: CircuitRow): Partial<Content> | null {
  if (spec.allowed_origins === undefined || spec.allowed_origins === null) return null;
  const allowedOrigins = originList(spec);
  return allowedOrigins === before ? null : { allowedOrigins };
}

/** The way to the token's kernel. */
export function routeTo(token: TokenRow, spec: CircuitSpec): Route {
  return {
    route_id: null,
    session_id: token.sessionId,
    session_name: null,
    kernel_host: token.kernelHost,
    kernel_port: token.kernelPort,
    protocol: placementProtocol(spec.protocol),
    traffic_ratio: 1,
  };
}

/** Whether a circuit leads to that kernel already. */
export function sameKernel(routes: readonly Route[], route: Route): boolean {
  return (
    routes.length === 1 && routes[0]?.kernel_host === route.kernel_host && routes[0].kernel_port === route.kernel_port
  );
}

// --- internal ---

/** No list and an empty one are the same. */
function allowList(spec: CircuitSpec): string | null {
  return (spec.allowed_client_ips ?? "").trim() === "" ? null : (spec.allowed_client_ips ?? null);
}

/** As it is stored: in browsers' spelling. */
function originList(spec: CircuitSpec): string | null {
  return readOrigins(spec.allowed_origins ?? "").origins.join(",") || null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says what was wanted
  }
}
