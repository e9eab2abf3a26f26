/** Tokens for model services: what a client sends as `Authorization: Bearer`, bound to one circuit. */
import { Failure, notFound } from "../../shared/failure.ts";
import { MAX_JWT_BYTES, mintInferenceToken } from "../../shared/protocol/jwt.ts";
import type { TokenRequest } from "../../shared/protocol/schema/endpoint.ts";
import { circuitOfEndpoint } from "../store/circuit-queries.ts";
import { toCircuit } from "../store/circuits.ts";
import type { Deps } from "../deps.ts";
import { jwtSecretFor } from "../secrets.ts";
import { jwtKeysOf } from "../store/nodes.ts";
import { getWorker } from "../store/workers.ts";
import { endpointUrl } from "./url.ts";

export interface EndpointTokens {
  /** A token for the endpoint's circuit. Rejects with object-not-found, or invalid-api-params for an `exp` that is over. */
  mint(id: string, request: TokenRequest): Promise<string>;
}

/** Ten years, with their leap days: clients of model services keep their token in a configuration. Seconds. */
const LONGEST_LIFE = 3653 * 24 * 3600;
/** A token travels with every request, and no more than MAX_JWT_BYTES of it are read. */
const MAX_SESSIONS = 20;

export function createEndpointTokens({ config, database, now, log }: Deps): EndpointTokens {
  return {
    async mint(id, { user_uuid: user, exp: wanted }) {
      const exp = expiry(wanted, now() / 1000);
      const { row, worker, known } = await database.read((q) => {
        const row = circuitOfEndpoint(q, id);
        if (row === undefined) return { row, worker: undefined, known: [] };
        return { row, worker: getWorker(q, row.workerId), known: jwtKeysOf(q, row.workerId, now()) };
      });
      if (row === undefined || worker === undefined) throw notFound("circuit");
      // Ours are left out: the original's claims are the circuit's fields without its routes.
      const { route_info: _, revision: _r, origin_request_id: _o, health_check: _h, ...shown } = toCircuit(row);
      const { allowed_origins: _a, recycled_at: _t, service_workers: _s, ...fields } = shown;
      const claims = {
        ...fields,
        // Nobody reads them, and a service of a hundred kernels would get a token that is too long to be taken.
        session_ids: fields.session_ids.slice(0, MAX_SESSIONS),
        config: {},
        app_url: endpointUrl(row, worker),
        user: user.toLowerCase(),
      };
      const secret = jwtSecretFor(config, worker.authority, known);
      const whole = await mintInferenceToken(claims, exp, secret);
      // Long names in other scripts: workers look at the circuit's id alone.
      const short = { ...claims, app: "", runtime_variant: null, session_ids: [] };
      const token = whole.length <= MAX_JWT_BYTES ? whole : await mintInferenceToken(short, exp, secret);
      log.info(
        { circuit: row.id, worker: worker.authority, origin_request_id: row.originRequestId, user: claims.user, exp },
        "token for an endpoint minted",
      );
      return token;
    },
  };
}

/** Epoch seconds of a wish, at most ten years from `now`. Throws invalid-api-params for one that is no time or is over. */
export function expiry(wanted: number | string, now: number): number {
  const at = typeof wanted === "number" ? fromNumber(wanted) : fromText(wanted.trim());
  if (at === null || !Number.isFinite(at))
    throw new Failure("invalid-api-params", `exp: wanted an ISO 8601 time or epoch seconds, got ${shown(wanted)}`);
  if (at <= now) throw new Failure("invalid-api-params", `exp: wanted a time to come, got ${shown(wanted)}`);
  return Math.floor(Math.min(at, now + LONGEST_LIFE));
}

// --- internal ---

/** As the original's parser: what would be after the year 2603 in seconds is milliseconds. */
function fromNumber(given: number): number {
  return Math.abs(given) > 2e10 ? given / 1000 : given;
}

function fromText(given: string): number | null {
  if (/^\d+(\.\d+)?$/.test(given)) return fromNumber(Number(given));
  if (!/^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}|$)/.test(given)) return null;
  // A date alone is its first moment.
  const iso = given.length === 10 ? `${given}T00:00Z` : given.replace(" ", "T");
  // Date.parse takes the 30th of February for the 2nd of March.
  const day = iso.slice(0, 10);
  const midnight = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(day)) return null;
  // Without an offset it is UTC, as the platform's servers are.
  return Date.parse(/(Z|[+-]\d{2}:?\d{2})$/i.test(iso) ? iso : `${iso}Z`) / 1000;
}

function shown(given: number | string): string {
  return JSON.stringify(given).slice(0, 80);
}
