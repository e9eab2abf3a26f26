/**
 * How the Python original writes and reads circuits, routes and JSON. Knows only wire.md and shares nothing with the product's
 * own schemas on purpose: what it reads from us is what an unmodified peer would accept.
 */

export type Json = Record<string, unknown>;

export interface OldRoute {
  route_id: string | null;
  session_id: string;
  session_name: string | null;
  kernel_host: string | null;
  kernel_port: number;
  protocol: string;
  traffic_ratio: number;
}

export interface OldCircuit {
  id: string;
  app: string;
  protocol: string;
  worker: string;
  app_mode: "interactive" | "inference";
  frontend_mode: string;
  envs: Json;
  arguments: string | null;
  open_to_public: boolean;
  allowed_client_ips: string | null;
  port: number | null;
  subdomain: string | null;
  user_id: string | null;
  endpoint_id: string | null;
  runtime_variant: string | null;
  route_info: OldRoute[];
  session_ids: string[];
  created_at: string;
  updated_at: string;
}

/** How a coordinator writes a circuit's row: rows are as old as the version that made them. */
export type Style = (circuit: OldCircuit) => unknown;

/** All fields, and those that only the original has. */
export const asToday: Style = (circuit) => ({
  ...circuit,
  route_info: circuit.route_info.map((route) => ({
    ...route,
    health_status: null,
    last_health_check: null,
    consecutive_failures: 0,
  })),
});

/** A row from before names, ids, ratios and hosts of routes were kept. */
export const asOldRow: Style = ({ allowed_client_ips: _ips, runtime_variant: _variant, ...circuit }) => ({
  ...circuit,
  session_ids: null,
  updated_at: null,
  route_info: circuit.route_info.map(({ session_id, kernel_port }) => ({
    session_id,
    kernel_host: null,
    kernel_port,
    traffic_ratio: null,
    health_status: "healthy",
    last_health_check: 1787446923.123456,
    consecutive_failures: 2,
  })),
});

/** Keys with hyphens, as the oldest clients have sent routes. */
export const asHyphens: Style = (circuit) => ({
  ...circuit,
  route_info: circuit.route_info.map((route) =>
    Object.fromEntries(Object.entries(route).map(([key, value]) => [key.replaceAll("_", "-"), value])),
  ),
});

/** `datetime.isoformat()`: microseconds and an offset. */
export function pythonTime(at: Date): string {
  return at.toISOString().replace(/Z$/, "456+00:00");
}

/** `json.dumps`: spaces after separators, nothing but ASCII. */
export function dumps(value: unknown): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  // A line break inside a text is escaped by JSON, so all that are left are the separators'.
  return JSON.stringify(value, null, 1)
    .replace(/\n */g, " ")
    .replace(/[\u007f-\uffff]/g, escaped);
}

/** What the original's model keeps of a circuit: the fields that it knows. Throws for one that it would refuse. */
export function readCircuit(value: unknown): OldCircuit {
  const given = asObject(value, "circuit");
  const circuit = Object.fromEntries(
    Object.entries(FIELDS).map(([name, isRight]) => {
      if (!isRight(given[name])) throw new Error(`circuit: ${name} is ${JSON.stringify(given[name])}`);
      return [name, given[name]];
    }),
  );
  return { ...circuit, route_info: readRoutes(circuit["route_info"]) } as unknown as OldCircuit;
}

/** The same for routes. */
export function readRoutes(value: unknown): OldRoute[] {
  if (!Array.isArray(value)) throw new Error(`routes: ${JSON.stringify(value)}`);
  return value.map((one) => {
    const route = asObject(one, "route");
    if (!isText(route["session_id"]) || typeof route["kernel_port"] !== "number" || !isText(route["protocol"]))
      throw new Error(`route: ${JSON.stringify(one)}`);
    return {
      route_id: textOrNull(route["route_id"]),
      session_id: route["session_id"],
      session_name: textOrNull(route["session_name"]),
      kernel_host: textOrNull(route["kernel_host"]),
      kernel_port: route["kernel_port"],
      protocol: route["protocol"],
      traffic_ratio: typeof route["traffic_ratio"] === "number" ? route["traffic_ratio"] : 1,
    };
  });
}

/** An object, or an error that names what was wanted. */
export function asObject(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new Error(`${what}: wanted an object, got ${JSON.stringify(value)}`);
}

// --- internal ---

const isText = (value: unknown): value is string => typeof value === "string";
const isTextOrNull = (value: unknown) => value === null || isText(value);
const isNumberOrNull = (value: unknown) => value === null || typeof value === "number";
const isTime = (value: unknown) => isText(value) && !Number.isNaN(Date.parse(value));

const FIELDS: Record<keyof OldCircuit, (value: unknown) => boolean> = {
  id: isText,
  app: isText,
  protocol: isText,
  worker: isText,
  app_mode: (value) => value === "interactive" || value === "inference",
  frontend_mode: isText,
  envs: (value) => typeof value === "object" && value !== null,
  arguments: isTextOrNull,
  open_to_public: (value) => typeof value === "boolean",
  allowed_client_ips: isTextOrNull,
  port: isNumberOrNull,
  subdomain: isTextOrNull,
  user_id: isTextOrNull,
  endpoint_id: isTextOrNull,
  runtime_variant: isTextOrNull,
  route_info: Array.isArray,
  session_ids: Array.isArray,
  created_at: isTime,
  updated_at: isTime,
};

function textOrNull(value: unknown): string | null {
  return isText(value) ? value : null;
}
