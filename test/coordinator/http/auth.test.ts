/** Who may call the API: who holds the api_secret; and Managers, who may come without it from known addresses. */
import { describe, expect, test } from "bun:test";
import { SignJWT, UnsecuredJWT } from "jose";
import { createAuthenticator } from "../../../coordinator/http/auth.ts";
import { API_KEY as SECRET, coordinatorConfig, JWT_KEY as JWT_SECRET, refused } from "../../support/values.ts";

function authenticator(section = "") {
  return createAuthenticator(
    coordinatorConfig(`[proxy_coordinator]
${section}`).values,
  );
}
const usual = authenticator();
const api = (headers: Record<string, string>) => usual.api(new Headers(headers));

const NOW = Math.floor(Date.now() / 1000);
function jwt(claims: Record<string, unknown> = { exp: NOW + 60 }, secret = SECRET, alg = "HS256"): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
}

const NOTHING = { kind: "auth-failed", msg: "wanted X-BackendAI-Token, or Authorization: Bearer with a JWT" } as const;
const WRONG_TOKEN = { kind: "auth-failed", msg: "X-BackendAI-Token is not the api_secret" } as const;
const WRONG_JWT = { kind: "auth-failed", msg: "the JWT is not valid" } as const;

describe("the api_secret lets in", () => {
  test.each([
    ["bare", SECRET],
    ["as Bearer", `Bearer ${SECRET}`],
    ["as BackendAI", `BackendAI ${SECRET}`],
    ["as bearer", `bearer  ${SECRET}`],
  ])("%s", async (_how, token) => {
    expect(await api({ "X-BackendAI-Token": token })).toBeUndefined();
  });

  test.each([
    ["another secret", "an-api-key-0123456789-x"],
    ["the other secret", JWT_SECRET],
    ["nothing", ""],
    ["a word alone", "Bearer"],
    ["its beginning", SECRET.slice(0, -1)],
    ["more than it", `${SECRET}x`],
    ["another word before it", `Basic ${SECRET}`],
    ["two words before it", `Bearer BackendAI ${SECRET}`],
  ])("but not %s", async (_what, token) => {
    expect(await refused(() => api({ "X-BackendAI-Token": token }))).toEqual(WRONG_TOKEN);
  });

  test("but not a JWT in its place, nor the secret in a JWT's", async () => {
    expect(await refused(async () => api({ "X-BackendAI-Token": await jwt() }))).toEqual(WRONG_TOKEN);
    expect(await refused(() => api({ Authorization: `Bearer ${SECRET}` }))).toEqual(WRONG_JWT);
  });
});

describe("a JWT signed with the api_secret", () => {
  test.each(["Bearer", "bearer", "BEARER "])("lets in as %s", async (word) => {
    expect(await api({ Authorization: `${word} ${await jwt()}` })).toBeUndefined();
  });

  test.each([
    ["without exp", () => jwt({ a: 1 })],
    ["that has expired", () => jwt({ exp: NOW - 60 })],
    ["of another secret", () => jwt({ exp: NOW + 60 }, JWT_SECRET)],
    ["of another algorithm", () => jwt({ exp: NOW + 60 }, SECRET, "HS512")],
    ["that nobody signed", async () => new UnsecuredJWT({ exp: NOW + 60 }).encode()],
    ["that is too long", () => jwt({ exp: NOW + 60, filler: "x".repeat(5000) })],
    ["that is none", async () => "nonsense"],
  ])("that does not count: one %s", async (_what, make) => {
    const token = await make();
    expect(await refused(() => api({ Authorization: `Bearer ${token}` }))).toEqual(WRONG_JWT);
  });

  test("does not help when the token beside it is wrong", async () => {
    const headers = { Authorization: `Bearer ${await jwt()}`, "X-BackendAI-Token": "wrong" };
    expect(await refused(() => api(headers))).toEqual(WRONG_TOKEN);
  });
});

test.each([
  [{}],
  [{ Authorization: "" }],
  [{ Authorization: "Bearer" }],
  [{ Authorization: "Basic eDp5" }],
  [{ Cookie: `token=${SECRET}` }],
])("nobody is let in with %j", async (headers: Record<string, string>) => {
  expect(await refused(() => api(headers))).toEqual(NOTHING);
});

describe("a Manager", () => {
  const from = (peer: string | null, headers: Record<string, string> = {}, section = "") =>
    authenticator(section).manager(new Headers(headers), peer);

  test.each(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])(
    "on this machine needs no token: %s",
    async (peer) => {
      expect(await from(peer)).toBeUndefined();
    },
  );

  test.each(["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "", null])("elsewhere needs one: %p", async (peer) => {
    expect(await refused(() => from(peer))).toEqual(NOTHING);
    expect(await from(peer, { "X-BackendAI-Token": SECRET })).toBeUndefined();
  });

  test("at a configured address needs none, and then only there", async () => {
    const section = 'manager_cidrs = ["10.0.0.0/8"]';
    expect(await from("10.0.0.1", {}, section)).toBeUndefined();
    expect(await refused(() => from("127.0.0.1", {}, section))).toEqual(NOTHING);
  });

  test.each([
    [{ "X-BackendAI-Token": "wrong" }, WRONG_TOKEN],
    [{ "X-BackendAI-Token": "" }, WRONG_TOKEN],
    [{ Authorization: "Bearer wrong" }, WRONG_JWT],
    [{ Authorization: "" }, NOTHING],
  ])("with a token must have the right one, unless anybody may call: %j", async (headers, failure) => {
    expect(await refused(() => from("127.0.0.1", headers as Record<string, string>))).toEqual(failure);
    // The original looks at none where anybody may call: seen of 26.9.6, which answers 200 to `Bearer wrong`.
    const anyone = "allow_unauthorized_configure_request = true";
    expect(await from("203.0.113.7", headers as Record<string, string>, anyone)).toBeUndefined();
  });

  test("may be anywhere when that is allowed", async () => {
    expect(await from("203.0.113.7", {}, "allow_unauthorized_configure_request = true")).toBeUndefined();
    expect(await from(null, {}, "allow_unauthorized_configure_request = true")).toBeUndefined();
  });
});
