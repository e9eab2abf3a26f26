/** Entries of a call about many: each is validated on its own, and its faults become its own failure. Pure. */
import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Failure } from "../../shared/failure.ts";
import { kernelHost } from "../../shared/http/kernel.ts";
import {
  DeleteItem,
  EndpointItem,
  RoutesItem,
  UnregisterItem,
  type BulkBody,
  type RouteEntry,
} from "../../shared/protocol/schema/endpoint.ts";
import type { Route } from "../../shared/protocol/schema/circuit.ts";
import "../../shared/protocol/schema/formats.ts";
import type { Address } from "../../shared/values.ts";
import type { TargetFault } from "../targets/service.ts";
import { describeErrors } from "../http/validation.ts";

/** An entry with its deployment's id in lower case; or why it can't be done. */
export type Validated<T> = { id: string } & ({ item: T } | { failure: Failure });

/** Throws invalid-api-params for entries that can't be answered, because they name no deployment. */
export type Validator<T> = (body: BulkBody) => Validated<T>[];

export const validateEndpoints = validator(EndpointItem);
export const validateDeletions = validator(DeleteItem);
export const validateRoutes = validator(RoutesItem);
export const validateUnregistrations = validator(UnregisterItem);

/** Where an entry's kernel is, as it was given. */
export function targetOf({ kernel_host: host, kernel_port: port }: RouteEntry): Address {
  return { host, port };
}

/** The routes of an entry, the last of those with one id. Throws invalid-api-params for where no kernel can be. */
export function toRoutes(entries: readonly RouteEntry[], faultOf: TargetFault): Route[] {
  const routes = new Map<string, Route>();
  for (const [at, entry] of entries.entries()) {
    const fault = faultOf(targetOf(entry));
    if (fault !== null) throw new Failure("invalid-api-params", `routes.${at}.kernel_host: ${fault}`);
    routes.set(entry.route_id.toLowerCase(), {
      route_id: entry.route_id.toLowerCase(),
      session_id: entry.session_id.toLowerCase(),
      session_name: entry.session_name ?? null,
      kernel_host: kernelHost(entry.kernel_host),
      kernel_port: entry.kernel_port,
      protocol: "http",
      traffic_ratio: entry.traffic_ratio ?? 1,
    });
  }
  return [...routes.values()];
}

// --- internal ---

function validator<T extends TSchema>(schema: T): Validator<Static<T>> {
  const check = TypeCompiler.Compile(schema);
  const named = TypeCompiler.Compile(DeleteItem);
  return ({ endpoints }) =>
    endpoints.map((item, at) => {
      if (!named.Check(item)) {
        const fault = describeErrors(named.Errors(item))[0];
        throw new Failure("invalid-api-params", `endpoints.${at}.${fault?.text ?? "deployment_id: wanted a UUID"}`);
      }
      const id = item.deployment_id.toLowerCase();
      if (check.Check(item)) return { id, item };
      const faults = describeErrors(check.Errors(item)).map((fault) => fault.text);
      return { id, failure: new Failure("invalid-api-params", faults.join("; ")) };
    });
}
