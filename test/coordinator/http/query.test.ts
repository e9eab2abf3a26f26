/** Queries are texts: read as the types that the schema names. */
import { describe, expect, test } from "bun:test";
import { Type, type TSchema } from "@sinclair/typebox";
import { readQuery } from "../../../coordinator/http/query.ts";
import { ProxyRequest } from "../../../shared/protocol/schema/api.ts";
import { nullable, Protocol } from "../../../shared/protocol/schema/basics.ts";
import { refused } from "../../support/values.ts";

const read = (schema: TSchema, text: unknown) => readQuery(Type.Object({ x: schema }), { x: text })["x"];

describe("a text becomes", () => {
  test.each([
    ["an integer", Type.Integer(), "10205", 10205],
    ["a signed integer", Type.Integer(), "-5", -5],
    ["a number", Type.Number(), "0.5", 0.5],
    ["an integer or null", nullable(Type.Integer()), "7", 7],
    ["an object", Type.Record(Type.String(), Type.Unknown()), '{"A":{"b":1}}', { A: { b: 1 } }],
    ["an object or null", nullable(Type.Object({})), '{"A":1}', { A: 1 }],
    ["null where that is allowed", nullable(Type.String()), "", null],
    ["null for an absent number", nullable(Type.Integer()), "", null],
  ])("%s", (_what, schema, text, value) => {
    expect(read(schema, text)).toEqual(value);
  });

  test.each(["true", "True", "TRUE", "1", "yes", "on", "y", "t"])("true: %s", (text) => {
    expect([read(Type.Boolean(), text), read(Type.Optional(nullable(Type.Boolean())), text)]).toEqual([true, true]);
  });

  test.each(["false", "False", "0", "no", "off", "n", "f"])("false: %s", (text) => {
    expect([read(Type.Boolean(), text), read(Type.Optional(nullable(Type.Boolean())), text)]).toEqual([false, false]);
  });
});

describe("a text stays what it is", () => {
  test.each([
    ["where text is wanted", Type.String(), "1"],
    ["where text or nothing is wanted", nullable(Type.String()), "null"],
    ["where one of several names is wanted", Protocol, "true"],
    ["when it is empty and null is not allowed", Type.String(), ""],
    ["when it is no number", Type.Integer(), "12x"],
    ["when it is a number in another notation", Type.Integer(), "0x10"],
    ["when it is a number with blanks", Type.Integer(), " 1"],
    ["when it is no truth value", Type.Boolean(), "maybe"],
  ])("%s", (_what, schema, text) => {
    expect(read(schema, text)).toBe(text);
  });

  test("where the schema does not know its name, or is no object", () => {
    expect(readQuery(Type.Object({ x: Type.Integer() }), { y: "1" })).toEqual({ y: "1" });
    expect(readQuery(Type.Integer(), { y: "1" })).toEqual({ y: "1" });
  });
});

test.each(["constructor", "toString", "__proto__"])("a name that every object has is left out: %s", (name) => {
  const query = Object.fromEntries([
    [name, "1"],
    ["x", "1"],
  ]);
  expect(Object.entries(readQuery(Type.Object({ x: Type.Integer() }), query))).toEqual([["x", 1]]);
});

describe("a text that is no JSON where an object is wanted", () => {
  test.each(["{broken", "A=1", "'{}'"])("is 400 with the field named: %s", async (text) => {
    const { kind, msg } = await refused(() => read(Type.Object({}), text));
    expect([kind, msg?.startsWith("x: wanted an object")]).toEqual(["invalid-api-params", true]);
  });

  test("is not repeated: variables hold secrets", async () => {
    const { msg } = await refused(() => readQuery(ProxyRequest, { envs: "PASSWORD=hunter2-hunter2" }));
    expect(msg).not.toContain("hunter2");
  });
});

test("what is no text stays as it is: a repeated name is a list", () => {
  expect([read(Type.Integer(), ["1", "2"]), read(Type.Integer(), 5), read(Type.Integer(), undefined)]).toEqual([
    ["1", "2"],
    5,
    undefined,
  ]);
});

test("a person's wish in a query is the same as in JSON", () => {
  const query = {
    app: "8080",
    protocol: "http",
    envs: '{"A":"1"}',
    args: "--x=1",
    open_to_public: "true",
    allowed_client_ips: "",
    redirect: "/1",
    no_reuse: "0",
    port: "10205",
    subdomain: "123",
    token: "t",
    session_id: "s",
    unknown: "1",
  };
  expect(readQuery(ProxyRequest, query)).toEqual({
    ...query,
    envs: { A: "1" },
    open_to_public: true,
    allowed_client_ips: null,
    no_reuse: false,
    port: 10205,
  });
});
