/** Which field of a request is wrong, what was wanted, what was given: in words, and without secrets. */
import { describe, expect, test } from "bun:test";
import { Type, type TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { ValidationError } from "elysia";
import { describeFaults, describeSchema } from "../../../coordinator/http/validation.ts";
import { ConfRequest, ProxyRequest } from "../../../shared/protocol/schema/api.ts";
import { nullable, PortNumber, Protocol, Uuid } from "../../../shared/protocol/schema/basics.ts";
import "../../../shared/protocol/schema/formats.ts";
import { NodeId, WorkerRegistration } from "../../../shared/protocol/schema/worker.ts";

function faults(schema: TSchema, value: unknown, type = "body") {
  return describeFaults(new ValidationError(type, TypeCompiler.Compile(schema), value));
}
const texts = (schema: TSchema, value: unknown) => faults(schema, value).map(({ text }) => text);

const SESSION = {
  id: "5e5e5e5e-0000-4000-8000-000000000001",
  user_uuid: "5e5e5e5e-0000-4000-8000-000000000002",
  access_key: "AK",
};
const CONF = { kernel_host: "10.0.0.1", kernel_port: 8080, session: SESSION };

describe("a schema in words", () => {
  test.each([
    ["an integer from 1 to 65535", PortNumber],
    ["an integer of at least 0", Type.Integer({ minimum: 0 })],
    ["a number of at most 5", Type.Number({ maximum: 5 })],
    ["an integer", Type.Integer()],
    ["text", Type.String()],
    ["text of length from 1 to 255", Type.String({ minLength: 1, maxLength: 255 })],
    ["text of length at least 1", Type.String({ minLength: 1 })],
    ["a UUID", Uuid],
    ["a date-time", Type.String({ format: "date-time" })],
    ["text like ^[A-Za-z0-9._:-]+$", NodeId],
    ["true or false", Type.Boolean()],
    ["true or false", Type.String({ format: "boolean" })],
    ["a URL", Type.String({ format: "uri" })],
    ["an object or null", Type.Union([Type.String({ format: "ObjectString" }), Type.Object({}), Type.Null()])],
    ["a list", Type.Union([Type.String({ format: "ArrayString" }), Type.Array(Type.String())])],
    ["null", Type.Null()],
    ["a list", Type.Array(Type.String())],
    ["a list from 2 to 2", Type.Array(PortNumber, { minItems: 2, maxItems: 2 })],
    ["an object", Type.Object({})],
    ["an object", Type.Record(Type.String(), Type.Unknown())],
    ["an integer from 1 to 65535 or null", nullable(PortNumber)],
    ["one of http, grpc, h2, tcp, preopen, vnc, rdp", Protocol],
    ['"v2"', Type.Literal("v2")],
    ["5", Type.Literal(5)],
    ['"v2" or null', nullable(Type.Literal("v2"))],
    ["text or an integer", Type.Union([Type.String(), Type.Integer(), Type.String()])],
    ["another value", undefined],
  ])("%s", (words, schema) => {
    expect(describeSchema(schema)).toBe(words);
  });
});

describe("a fault", () => {
  test("names the field, what was wanted and what was given", () => {
    expect(faults(ConfRequest, { ...CONF, kernel_port: 70_000 })).toEqual([
      {
        field: "kernel_port",
        wanted: "an integer from 1 to 65535",
        got: "70000",
        text: "kernel_port: wanted an integer from 1 to 65535, got 70000",
      },
    ]);
  });

  test("of an inner field has its path with dots", () => {
    expect(texts(ConfRequest, { ...CONF, session: { ...SESSION, id: "x" } })).toEqual([
      'session.id: wanted a UUID or null, got "x"',
    ]);
    const worker = {
      authority: "a",
      frontend_mode: "port",
      protocol: "http",
      hostname: "h",
      api_port: 1,
      accepted_traffics: [],
    };
    expect(
      texts(WorkerRegistration, { ...worker, tls_listen: true, tls_advertised: true, filtered_apps_only: "no" }),
    ).toEqual([
      "accepted_traffics: wanted a list of at least 1, got a list of 0",
      'filtered_apps_only: wanted true or false, got "no"',
    ]);
  });

  test("in a list that may be null is told of that entry, and of the whole list only where that is wrong", () => {
    const schema = Type.Object({ ports: nullable(Type.Array(PortNumber, { minItems: 2, maxItems: 2 })) });
    expect(texts(schema, { ports: ["x", 1] })).toEqual(['ports.0: wanted an integer from 1 to 65535, got "x"']);
    expect(texts(schema, { ports: [1] })).toEqual(["ports: wanted a list from 2 to 2 or null, got a list of 1"]);
  });

  test("of a missing field got nothing", () => {
    expect(texts(ConfRequest, {})).toEqual([
      "kernel_host: wanted text of length from 1 to 255, got nothing",
      "kernel_port: wanted an integer from 1 to 65535, got nothing",
      "session: wanted an object, got nothing",
    ]);
  });

  test.each(["body", "query"])("of the whole is named after its place: %s", (place) => {
    expect(faults(ConfRequest, undefined, place).map(({ text }) => text)).toEqual([
      `${place}: wanted an object, got nothing`,
    ]);
  });

  test("is told once a field, and at most ten of them", () => {
    const names = Array.from({ length: 12 }, (_, at) => `f${at}`);
    const schema = Type.Object(Object.fromEntries(names.map((name) => [name, Type.Integer()])));
    expect(faults(schema, {}).map(({ field }) => field)).toEqual(names.slice(0, 10));
    expect(texts(Type.Object({ a: Type.String({ minLength: 5, pattern: "^x" }) }), { a: "b" })).toHaveLength(1);
  });

  test("shows a long value by its beginning", () => {
    const [fault] = faults(Type.Object({ a: Type.Integer() }), { a: "x".repeat(500) });
    expect(fault?.got).toBe(`"${"x".repeat(79)}…"`);
  });

  test.each([
    ["1e309", "Infinity"],
    ["-1e309", "-Infinity"],
    ["1e300", "1e+300"],
    ["null", "null"],
  ])("tells the number %s as %s", (json, got) => {
    expect(texts(Type.Object({ a: Type.Integer({ maximum: 5 }) }), { a: JSON.parse(json) })).toEqual([
      `a: wanted an integer of at most 5, got ${got}`,
    ]);
  });

  test("is none when all is well", () => {
    expect(faults(ConfRequest, CONF)).toEqual([]);
  });
});

describe("a secret is not shown", () => {
  const SECRET = "hunter2-hunter2";

  test.each(["token", "login_session_token", "session.access_key", "password", "api_secret", "Token"])(
    "of the field %s",
    (path) => {
      const [first = "", second] = path.split(".");
      const schema = Type.Object({
        [first]: second === undefined ? Type.Integer() : Type.Object({ [second]: Type.Integer() }),
      });
      const [fault] = faults(schema, { [first]: second === undefined ? SECRET : { [second]: SECRET } });
      expect(fault).toEqual({
        field: path,
        wanted: "an integer",
        got: "[hidden]",
        text: `${path}: wanted an integer, got [hidden]`,
      });
    },
  );

  test.each([
    JSON.stringify({ token: "a-secret" }),
    JSON.stringify(JSON.stringify({ token: "a-secret" })),
    ' [{"token":"a-secret"',
  ])("in text that holds an object or a list: %s", (given) => {
    const got = `text of length ${given.length}`;
    expect(texts(ProxyRequest, given)[0]).toBe(`body: wanted an object, got ${got}`);
    expect(texts(Type.Object({ envs: Type.Integer() }), { envs: given })).toEqual([
      `envs: wanted an integer, got ${got}`,
    ]);
  });

  test("in text where an object or a list is wanted, whatever it begins with", () => {
    const wanted = Type.Object({ envs: Type.Object({}), list: nullable(Type.Array(Type.String())) });
    expect(texts(wanted, { envs: "token=a-secret", list: "a-secret" })).toEqual([
      "envs: wanted an object, got text of length 14",
      "list: wanted a list or null, got text of length 8",
    ]);
  });

  test("when it is missing, which is told", () => {
    expect(faults(ProxyRequest, { app: "a", protocol: "http", session_id: SESSION.id })[0]?.got).toBe("nothing");
  });

  test.each([
    ["in a list where an object was wanted", ConfRequest, { ...CONF, session: [{ access_key: SECRET }] }],
    ["in the whole body", ConfRequest, [{ access_key: SECRET }]],
    [
      "among the variables",
      ProxyRequest,
      { app: "a", protocol: "http", token: SESSION.id, session_id: SESSION.id, envs: [`PASSWORD=${SECRET}`] },
    ],
  ])("%s", (_where, schema, value) => {
    expect(faults(schema, value)).toHaveLength(1);
    expect(JSON.stringify(faults(schema, value))).not.toContain(SECRET);
  });
});
