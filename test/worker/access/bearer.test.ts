/** Bearer tokens of model services: which are let in, what the others are told, and that a known one costs no signature. */
import { describe, expect, test } from "bun:test";
import { SignJWT } from "jose";
import { mintInferenceToken } from "../../../shared/protocol/jwt.ts";
import { createBearers, isOurs } from "../../../worker/access/bearer.ts";
import { CIRCUIT, JWT_KEY, refused, type Refusal } from "../../support/values.ts";

const SOON = Math.floor(Date.now() / 1000) + 600;
const OTHER = "c1c1c1c1-0000-4000-8000-000000000002";
const token = await mintInferenceToken({ id: CIRCUIT, user: "u" }, SOON, JWT_KEY);

const unauthorized = (msg: string): Refusal => ({ kind: "invalid-credentials", msg });
const fresh = (now = Date.now) => createBearers(JWT_KEY, now);
const refusal = (header: string | null, circuit = CIRCUIT) => refused(async () => fresh().admit(circuit, header));

/** A token that the library would not make by itself. */
function sign(claims: object, secret = JWT_KEY, alg = "HS256"): Promise<string> {
  return new SignJWT({ id: CIRCUIT, ...claims }).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
}

describe("a token that the coordinator minted for the circuit", () => {
  test.each(["Bearer", "BackendAI", "bearer", "BACKENDAI"])("lets its holder in with the scheme %s", async (scheme) => {
    const bearers = fresh();
    expect(bearers.admit(CIRCUIT, `${scheme} ${token}`)).toBeInstanceOf(Promise);
    await bearers.admit(CIRCUIT, `${scheme}   ${token} `);
    // Known now: no promise, so no signature was checked again.
    expect(bearers.admit(CIRCUIT, `${scheme} ${token}`)).toBeUndefined();
  });

  test("names its circuit in any case", async () => {
    await fresh().admit(CIRCUIT, `Bearer ${await sign({ id: CIRCUIT.toUpperCase(), exp: SOON })}`);
  });

  test("is over when its time is, known or not", async () => {
    let at = Date.now();
    const bearers = fresh(() => at);
    await bearers.admit(CIRCUIT, `Bearer ${token}`);
    // Clocks may differ by 5 s.
    at = (SOON + 4) * 1000;
    expect(bearers.admit(CIRCUIT, `Bearer ${token}`)).toBeUndefined();
    at = (SOON + 5) * 1000;
    expect(await refused(() => bearers.admit(CIRCUIT, `Bearer ${token}`))).toEqual(
      unauthorized("E20008: Invalid authorization token (it has expired)"),
    );
  });

  test("is no token of another circuit, known or not", async () => {
    const mismatch = unauthorized("E20009: Authorization token mismatch");
    const bearers = fresh();
    expect(await refused(async () => bearers.admit(OTHER, `Bearer ${token}`))).toEqual(mismatch);
    expect(await refused(() => bearers.admit(OTHER, `Bearer ${token}`))).toEqual(mismatch);
    expect(bearers.admit(CIRCUIT, `Bearer ${token}`)).toBeUndefined();
  });

  test("stays known among twenty thousand others while it is used", async () => {
    const bearers = fresh();
    const tokens = await Promise.all(
      Array.from({ length: 20_500 }, (_, at) => mintInferenceToken({ id: CIRCUIT, user: String(at) }, SOON, JWT_KEY)),
    );
    await bearers.admit(CIRCUIT, `Bearer ${token}`);
    for (const [at, one] of tokens.entries()) {
      await bearers.admit(CIRCUIT, `Bearer ${one}`);
      if (at % 5000 === 0) expect(bearers.admit(CIRCUIT, `Bearer ${token}`)).toBeUndefined();
    }
    expect(bearers.admit(CIRCUIT, `Bearer ${token}`)).toBeUndefined();
    // The first of them was not used since: it is forgotten, and simply checked again.
    const again = bearers.admit(CIRCUIT, `Bearer ${tokens[0]}`);
    expect(again).toBeInstanceOf(Promise);
    await again;
  });
});

describe("a request is told what is wrong with its credential:", () => {
  test.each([
    ["no header", null, "E20006: Authorization header not provided"],
    ["an empty header", "  ", "E20006: Authorization header not provided"],
    ["another scheme", "Basic dXNlcjpwYXNz", "E20007: Unsupported authorization method Basic"],
    ["a bare token", token, "E20007: Unsupported authorization method (none: wanted `Bearer TOKEN`)"],
    ["a bare word", "opensesame", "E20007: Unsupported authorization method (none: wanted `Bearer TOKEN`)"],
    ["a bare key", "sk-12345", "E20007: Unsupported authorization method (none: wanted `Bearer TOKEN`)"],
    ["a scheme without a token", "Bearer", "E20008: Invalid authorization token (it cannot be read)"],
    ["text that is no token", "Bearer abc", "E20008: Invalid authorization token (it cannot be read)"],
    ["a token with padding", `Bearer ${token}=`, "E20008: Invalid authorization token (it cannot be read)"],
    [
      "a token with spaces",
      `Bearer ${token.slice(0, -4)} ${token.slice(-4)}`,
      "E20008: Invalid authorization token (it cannot be read)",
    ],
    ["two tokens", `Bearer ${token} ${token}`, "E20008: Invalid authorization token (it cannot be read)"],
    ["5 KB of text", `Bearer ${"a".repeat(5000)}`, "E20008: Invalid authorization token (it cannot be read)"],
  ])("%s", async (_what, header, msg) => {
    expect(await refusal(header)).toEqual(unauthorized(msg));
  });

  test.each([
    ["another secret", () => sign({ exp: SOON }, "another-secret-0123456789"), "its signature is wrong"],
    ["another algorithm", () => sign({ exp: SOON }, JWT_KEY.padEnd(64, "x"), "HS512"), "it cannot be read"],
    ["no algorithm", async () => `${Buffer.from('{"alg":"none"}').toString("base64url")}.${token.split(".")[1]}.`, "it cannot be read"],
    ["no exp", () => sign({}), "its claim exp is missing or wrong"],
    ["a time that is over", () => sign({ exp: 1_700_000_000 }), "it has expired"],
    ["a time to come", () => sign({ exp: SOON, nbf: SOON - 60 }), "its claim nbf is missing or wrong"],
  ])("a token with %s", async (_what, make, why) => {
    expect(await refusal(`Bearer ${await make()}`)).toEqual(unauthorized(`E20008: Invalid authorization token (${why})`));
  }); // prettier-ignore

  test("a token that names no circuit", async () => {
    const nameless = await new SignJWT({ exp: SOON }).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(JWT_KEY)); // prettier-ignore
    expect(await refusal(`Bearer ${nameless}`)).toEqual(unauthorized("E20009: Authorization token mismatch"));
  });

  test("and never the token or the secret", async () => {
    const { msg = "" } = await refusal(`Bearer ${await sign({ exp: SOON }, "another-secret-0123456789")}`);
    expect(msg).not.toContain("eyJ");
    expect(msg).not.toContain(JWT_KEY);
  });
});

test.each([
  ["nothing", null, false],
  ["a token of the circuit", `Bearer ${token}`, true],
  ["one with the platform's scheme", `BackendAI ${token}`, true],
  ["one after a tab", `Bearer\t${token}`, true],
  ["one in quotes", `Bearer "${token}"`, true],
  ["one without a scheme", token, true],
  ["the second of two", `Bearer sk-1234, Bearer ${token}`, true],
  ["one that spells the circuit in capitals", `Bearer ${await sign({ id: CIRCUIT.toUpperCase(), exp: SOON })}`, true],
  ["an app's own with the platform's scheme", "BackendAI signMethod=HMAC-SHA256, credential=AKIA:f00", false],
  ["a token of another circuit", `Bearer ${await sign({ id: OTHER, exp: SOON })}`, false],
  ["a key of the app's own", "Bearer sk-1234", false],
  ["what only looks like a token", "Bearer a.b.c", false],
  ["another scheme", "Basic dTpw", false],
])("on a public model service %s is ours: %s", (_what, header, ours) => {
  expect(isOurs(CIRCUIT, header)).toBe(ours);
});

test.each(["-eyJ", "eyJ-", "-eyJ.", "eyJ.eyJ.", " eyJ.a", "...", "-eyJa.a", "\teyJ.e30.x"])(
  "a line of 64 KiB of %j is looked through in no time",
  (piece) => {
    const line = piece.repeat(Math.ceil(65_536 / piece.length));
    const took = () => {
      const start = process.cpuUsage();
      isOurs(CIRCUIT, line);
      return process.cpuUsage(start).user / 1000;
    };
    // Four seconds with a pattern for a whole token. Another may be busy on this machine: the best of three.
    expect(Math.min(took(), took(), took())).toBeLessThan(250);
  },
);

test("what holds more tokens than anybody sends is kept from the app", () => {
  const other = "eyJ.e30.x ";
  expect([isOurs(CIRCUIT, other.repeat(16)), isOurs(CIRCUIT, other.repeat(17))]).toEqual([false, true]);
});
