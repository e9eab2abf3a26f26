/** What a line of the log says of a circuit, wherever one is made, changes or ends: the same fields, by which a line is found. */
import { hostPort } from "../../shared/values.ts";
import type { CircuitRow } from "../store/circuits.ts";
import type { Caller } from "../store/store.ts";

/**
 * The fields of a circuit at a worker of this authority. Of an app that somebody has opened also whose it is, its session and
 * kernel; a model service is named by its endpoint, and may have a thousand kernels.
 */
export function circuitLine(row: CircuitRow, authority: string | undefined): Record<string, unknown> {
  const [route] = row.appMode === "interactive" ? row.routeInfo : [];
  return {
    circuit: row.id,
    worker: authority,
    app: row.app,
    ...(row.port === null ? { subdomain: row.subdomain } : { port: row.port }),
    ...(row.endpointId === null ? {} : { endpoint: row.endpointId }),
    ...(row.userId === null ? {} : { user: row.userId }),
    ...(route === undefined
      ? {}
      : { session: route.session_id, kernel: hostPort({ host: route.kernel_host, port: route.kernel_port }) }),
    origin_request_id: row.originRequestId,
  };
}

/** The fields of who had it done; none for the coordinator itself. */
export function callerLine({ requestId, peer }: Caller): Record<string, unknown> {
  return { ...(requestId === null ? {} : { request_id: requestId }), ...(peer === null ? {} : { peer }) };
}
