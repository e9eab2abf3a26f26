/** JSON web tokens: what a setup token says, and what is refused. */
import { describe, expect, test } from "bun:test";
import { decodeProtectedHeader, SignJWT, UnsecuredJWT } from "jose";
import { MAX_JWT_BYTES, mintSetupToken, SETUP_LIFETIME, verifyJwt } from "../../../shared/protocol/jwt.ts";

const SECRET = "a-jwt-secret-0123456789";
const CLAIMS = { id: "conf-token", circuit: "circuit-1", redirect: "/lab" };
const key = new TextEncoder().encode(SECRET);

function sign(claims: Record<string, unknown>, alg = "HS256"): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg }).sign(key);
}

/** Why a token is refused. */
async function refusal(token: string, secret = SECRET, required: string[] = []): Promise<string> {
  try {
    return `accepted: ${JSON.stringify(await verifyJwt(token, secret, required))}`;
  } catch (error) {
    return String(error);
  }
}

describe("a setup token", () => {
  test("says who may enter what, once, for a minute, and has no audience", async () => {
    const now = Date.now();
    const issued = Math.floor(now / 1000);
    const token = await mintSetupToken(CLAIMS, SECRET, "unique-1", now);
    expect(await verifyJwt(token, SECRET)).toEqual({
      ...CLAIMS,
      version: "v2",
      jti: "unique-1",
      // Ten seconds ago: the original has no patience with a clock that is ahead of its own.
      iat: issued - 10,
      exp: issued + 60,
    });
    expect(decodeProtectedHeader(token)).toEqual({ alg: "HS256", typ: "JWT" });
    expect(SETUP_LIFETIME).toBe(60);
  });

  test("is refused when its minute is over", async () => {
    const token = await mintSetupToken(CLAIMS, SECRET, "unique-1", Date.now() - 120_000);
    expect(await refusal(token)).toContain('"exp" claim timestamp check failed');
  });

  test("is taken when the clocks differ by two seconds", async () => {
    const token = await mintSetupToken(CLAIMS, SECRET, "unique-1", Date.now() - 62_000);
    expect((await verifyJwt(token, SECRET)).jti).toBe("unique-1");
  });

  test("is refused with another secret", async () => {
    const token = await mintSetupToken(CLAIMS, SECRET, "unique-1", Date.now());
    expect(await refusal(token, "another-secret-0123456789")).toContain("signature verification failed");
  });
});

describe("a token", () => {
  test.each(["HS384", "HS512"])("of algorithm %s is refused even with the right secret", async (alg) => {
    expect(await refusal(await sign({ a: 1 }, alg))).toContain('"alg" (Algorithm) Header Parameter value not allowed');
  });

  test("without a signature is refused", async () => {
    const unsigned = new UnsecuredJWT({ ...CLAIMS }).encode();
    expect(await refusal(unsigned)).toContain('"alg" (Algorithm) Header Parameter value not allowed');
    const relabelled = `${Buffer.from('{"alg":"HS256"}').toString("base64url")}.${unsigned.split(".")[1]}.`;
    expect(await refusal(relabelled)).toContain("signature verification failed");
  });

  test("with changed claims is refused", async () => {
    const [header, , signature] = (await sign({ circuit: "a" })).split(".");
    const claims = Buffer.from(JSON.stringify({ circuit: "b" })).toString("base64url");
    expect(await refusal(`${header}.${claims}.${signature}`)).toContain("signature verification failed");
  });

  test("longer than 4 KiB is refused before it is read", async () => {
    const long = await sign({ filler: "x".repeat(MAX_JWT_BYTES) });
    expect(await refusal(long)).toContain("token is longer than 4096 bytes");
    const fits = await sign({ filler: "x".repeat(2900) });
    expect((await verifyJwt(fits, SECRET))["filler"]).toHaveLength(2900);
  });

  test.each(["", "nonsense", "a.b.c", "..", "a.b"])("that is none is refused: %p", async (token) => {
    expect(await refusal(token)).toMatch(/^(JWSInvalid|JWTInvalid|TypeError)/);
  });

  test.each([["1e309"], ["253402300800"], ["1e15"]])("whose exp is %s is refused: it would never end", async (exp) => {
    // JSON.stringify writes no infinity.
    const part = (json: string) => Buffer.from(json).toString("base64url");
    const text = `${part('{"alg":"HS256"}')}.${part(`{"a":1,"exp":${exp}}`)}`;
    const signature = new Bun.CryptoHasher("sha256", SECRET).update(text).digest("base64url");
    expect(await refusal(`${text}.${signature}`)).toBe("Error: exp: wanted epoch seconds");
  });

  test("without exp is taken unless exp is required", async () => {
    const token = await sign(CLAIMS);
    expect(await verifyJwt(token, SECRET)).toEqual(CLAIMS);
    expect(await refusal(token, SECRET, ["exp"])).toContain('missing required "exp" claim');
  });

  test("that is refused is not repeated in the error, nor is the secret", async () => {
    const token = await sign({ circuit: "a" });
    expect(await refusal(token, "another-secret-0123456789")).toBe(
      "JWSSignatureVerificationFailed: signature verification failed",
    );
  });
});
