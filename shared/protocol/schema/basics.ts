/** The small parts that all schemas are made of. */
import { Type, type TSchema } from "@sinclair/typebox";

export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** May be left out or null. */
export const optional = <T extends TSchema>(schema: T) => Type.Optional(nullable(schema));

export const Uuid = Type.String({ format: "uuid", example: "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d" });
export const PortNumber = Type.Integer({ minimum: 1, maximum: 65535, example: 10205 });

/** Any JSON object. Not Type.Record, which takes lists too. */
export const Dictionary = Type.Unsafe<Record<string, unknown>>(
  Type.Object({}, { additionalProperties: Type.Unknown() }),
);

/** One of a list of names. */
export const literals = <const T extends string>(names: readonly T[]) =>
  Type.Unsafe<T>(Type.Union(names.map((name) => Type.Literal(name))));

export const PROTOCOLS = ["http", "grpc", "h2", "tcp", "preopen", "vnc", "rdp"] as const;
export const Protocol = literals(PROTOCOLS);
export type ProxyProtocol = (typeof PROTOCOLS)[number];
