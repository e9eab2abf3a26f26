/** How a model service's kernels are asked whether they are well. */
import { Type, type Static } from "@sinclair/typebox";
import { optional } from "./basics.ts";

/** How a model service is asked whether it is well, as its owner wrote it; what is left out has a default. */
export const HealthCheckWish = Type.Object(
  {
    enable: optional(Type.Boolean()),
    interval: optional(Type.Number({ minimum: 0.05, maximum: 86_400, description: "Seconds between probes; 10." })),
    path: optional(
      Type.String({ maxLength: 2048, pattern: "^[\\x21-\\x7e]*$", description: "Path of the probe; /health." }),
    ),
    max_retries: optional(
      Type.Integer({ minimum: 0, maximum: 1000, description: "Failures in a row that are forgiven; 10." }),
    ),
    max_wait_time: optional(
      Type.Number({ minimum: 0.05, maximum: 600, description: "Seconds that a probe may take; 15." }),
    ),
    expected_status_code: optional(Type.Integer({ minimum: 200, maximum: 599, description: "200." })),
    initial_delay: optional(
      Type.Number({
        minimum: 0,
        maximum: 86_400,
        description: "Seconds in which a new kernel's failures do not count; 60.",
      }),
    ),
  },
  { example: { enable: true, interval: 10, path: "/health", max_retries: 3, expected_status_code: 200 } },
);
export type HealthCheckWish = Static<typeof HealthCheckWish>;

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
export function healthCheckOf(wish: HealthCheckWish | null | undefined): HealthCheck | null {
  if (wish == null || wish.enable === false) return null;
  return {
    interval: wish.interval ?? 10,
    path: `/${(wish.path ?? "/health").replace(/^\/+/, "")}`,
    max_retries: wish.max_retries ?? 10,
    max_wait_time: wish.max_wait_time ?? 15,
    expected_status_code: wish.expected_status_code ?? 200,
    initial_delay: wish.initial_delay ?? 60,
  };
}
