/** How a model service's kernels are asked whether they are well. */
import { Type, type Static } from "@sinclair/typebox";
import { optional } from "./basics.ts";

/**
 * How a model service is asked whether it is well, as its owner wrote it. What is left out has a default, and what is out of
 * range is brought into it: the Manager passes on what users write, many endpoints in one call.
 */
export const HealthCheckSpec = Type.Object(
  {
    enable: optional(Type.Boolean()),
    interval: optional(Type.Number({ description: "Seconds between probes, from 1; default 10." })),
    path: optional(Type.String({ maxLength: 2048, description: "Path of the probe; default /health." })),
    max_retries: optional(Type.Integer({ description: "Failures in a row that are forgiven; default 10." })),
    max_wait_time: optional(Type.Number({ description: "Seconds that a probe may take, up to 60; default 15." })),
    expected_status_code: optional(Type.Integer({ description: "Default 200." })),
    initial_delay: optional(
      Type.Number({ description: "Seconds in which a new kernel's failures do not count; default 60." }),
    ),
  },
  { example: { enable: true, interval: 10, path: "/health", max_retries: 3, expected_status_code: 200 } },
);
export type HealthCheckSpec = Static<typeof HealthCheckSpec>;

/** The same with its defaults filled in: a part of the circuit. Times in seconds. */
export const HealthCheck = Type.Object({
  interval: Type.Number(),
  path: Type.String(),
  max_retries: Type.Integer(),
  max_wait_time: Type.Number(),
  expected_status_code: Type.Integer(),
  initial_delay: Type.Number(),
});
export type HealthCheck = Static<typeof HealthCheck>;

/** The check to make; null for none (`enable: false` is none). */
export function healthCheckOf(wish: HealthCheckSpec | null | undefined): HealthCheck | null {
  if (wish == null || wish.enable === false) return null;
  return {
    interval: within(wish.interval ?? 10, 1, DAY),
    path: `/${readable(wish.path ?? "health").replace(/^\/+/, "")}`,
    max_retries: within(wish.max_retries ?? 10, 0, 1000),
    // None at all would be no probe.
    max_wait_time: (wish.max_wait_time ?? 0) > 0 ? within(wish.max_wait_time ?? 15, 0.05, 60) : 15,
    expected_status_code: isStatus(wish.expected_status_code) ? wish.expected_status_code : 200,
    initial_delay: within(wish.initial_delay ?? 60, 0, DAY),
  };
}

// --- internal ---

const DAY = 86_400;

function within(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

function isStatus(code: number | null | undefined): code is number {
  return code != null && code >= 200 && code <= 599;
}

/** What a request line can't hold is encoded, as a browser does. */
function readable(path: string): string {
  return path.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}
