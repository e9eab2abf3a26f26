/** That the stand-in for the Python original is one: it shares no code with the product, and its cookie and texts are the original's. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { dumps, pythonTime, readCircuit } from "../support/original/wire.ts";
import { decode, mint, permitIn, permitOf } from "../support/original/tokens.ts";
import { circuit } from "../support/values.ts";
import vectors from "../fixtures/permit.json";

const HERE = join(import.meta.dir, "../support/original");
const SECRET = "a-jwt-secret-0123456789";

test("it imports nothing but itself and packages, so what it understands is the wire and not our code", () => {
  const files = [...new Bun.Glob("*.ts").scanSync(HERE)];
  const imported = files.flatMap((file) =>
    [...readFileSync(join(HERE, file), "utf8").matchAll(/ from "([^"]+)"/g)].map(([, from]) => String(from)),
  );
  expect(files.length).toBeGreaterThan(5);
  const foreign = imported.filter((from) => !/^\.\/[\w-]+\.ts$/.test(from));
  expect([...new Set(foreign)].toSorted()).toEqual(["ioredis", "jose", "node:crypto", "node:net"]);
});

test.each(vectors)("its cookie is the original's with $digest_mod", ({ secret, user_id: user, digest_mod, permit }) => {
  expect(permitOf(user, secret, digest_mod)).toBe(permit);
  expect(permitIn(`a=1; appproxy_permit=${permit}; b=2`)).toBe(permit);
});

test("its JSON is as Python writes it", () => {
  expect(dumps({ a: [1, "한 \n"], b: { c: null } })).toBe('{ "a": [ 1, "\\ud55c \\n" ], "b": { "c": null } }');
  expect(pythonTime(new Date("2026-08-23T01:02:03.123Z"))).toBe("2026-08-23T01:02:03.123456+00:00");
});

test("its worker takes tokens without times, and none that names an audience or comes from the future", async () => {
  const claims = { id: "i", version: "v2", redirect: "", circuit: "c" };
  expect<unknown>(await decode(await mint(claims, SECRET), SECRET)).toEqual(claims);
  const refusals = [{ aud: "worker" }, { iat: Date.now() / 1000 + 60 }, { exp: Date.now() / 1000 - 1 }];
  for (const more of refusals) {
    const token = await mint({ ...claims, ...more }, SECRET);
    expect(await decode(token, SECRET).catch(() => "refused")).toBe("refused");
  }
});

test("its model keeps of our circuits what it knows, and refuses one that lacks any of it", () => {
  const { origin_request_id: _id, revision: _revision, ...known } = circuit();
  expect<unknown>(readCircuit(circuit())).toEqual(known);
  for (const field of Object.keys(known))
    expect(() => readCircuit({ ...circuit(), [field]: undefined }), field).toThrow(field);
});
