/** Who may call the API: who holds the api_secret; and Managers, who may come without it from known addresses. */
import { describe, expect, test } from "bun:test";
import { SignJWT, UnsecuredJWT } from "jose";
import { hostsOf } from "../../../coordinator/config.ts";
import { createAuthenticator } from "../../../coordinator/http/auth.ts";
import { workerSecret } from "../../../shared/protocol/worker-secret.ts";
import { API_KEY as SECRET, coordinatorConfig, JWT_KEY as JWT_SECRET, refused } from "../../support/values.ts";

function authenticator(section = "") {
  const { values } = coordinatorConfig(`[proxy_coordinator]
${section}`);
  return createAuthenticator(values, hostsOf(values, ["the-machine"]));
}
const usual = authenticator();
const api = (headers: Record<string, string>) => usual.api(new Headers(headers));

const NOW = Math.floor(Date.now() / 1000);
function jwt(claims: Record<string, unknown> = { exp: NOW + 60 }, secret = SECRET, alg = "HS256"): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
}

const JSON_BODY = { "Content-Type": "application/json" };
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
    authenticator(section).manager(new Headers({ ...JSON_BODY, ...headers }), peer);

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

describe("without a secret, in both ways to do without", () => {
  const ANYONE = "allow_unauthorized_configure_request = true";
  const from = (headers: Record<string, string>, section = "", peer = "127.0.0.1") =>
    authenticator(section).manager(new Headers(headers), peer);
  const tokenless = (wanted: string, got: string) => ({
    kind: "auth-failed" as const,
    msg: `without X-BackendAI-Token: wanted ${wanted}; got ${got}`,
  });
  const program = (got: string) => tokenless("a program, without Origin, Referer and Sec-Fetch-*", got);
  const json = (got: string) => tokenless("Content-Type: application/json", got);

  test.each<[Record<string, string>, ReturnType<typeof program>]>([
    [{ Origin: "https://a.example" }, program('Origin: "https://a.example"')],
    [{ Origin: "null" }, program('Origin: "null"')],
    [{ Origin: "" }, program('Origin: ""')],
    [{ Referer: "https://a.example/?token=x" }, program("Referer")],
    [{ "Sec-Fetch-Site": "same-origin" }, program('Sec-Fetch-Site: "same-origin"')],
    [{ "sec-fetch-storage-access": "none" }, program('Sec-Fetch-Storage-Access: "none"')],
    [{ "Content-Type": "text/plain" }, json('"text/plain"')],
    [{ "Content-Type": "text/plain; a=application/json" }, json('"text/plain; a=application/json"')],
    [{ "Content-Type": "text/plain, application/json" }, json('"text/plain, application/json"')],
    [{ "Content-Type": "application/json, text/plain" }, json('"application/json, text/plain"')],
    [{ "Content-Type": "application/jsonp" }, json('"application/jsonp"')],
    [{ "Content-Type": "" }, json('""')],
  ])("a call with %j is refused", async (headers, failure) => {
    for (const section of ["", ANYONE]) {
      expect(await refused(() => from({ ...JSON_BODY, ...headers }, section))).toEqual(failure);
      expect(await from({ ...JSON_BODY, ...headers, "X-BackendAI-Token": SECRET }, section)).toBeUndefined();
      expect(await from({ ...headers, Authorization: `Bearer ${await jwt()}` }, section)).toBeUndefined();
    }
    // A wrong token counts as none where anybody may call.
    expect(await refused(() => from({ ...JSON_BODY, ...headers, "X-BackendAI-Token": "x" }, ANYONE))).toEqual(failure);
  });

  test("a call without a content type is refused: a page's Blob has none", async () => {
    for (const section of ["", ANYONE]) expect(await refused(() => from({}, section))).toEqual(json("none"));
  });

  test.each([
    "application/json",
    "Application/JSON",
    "application/json; charset=utf-8",
    "application/json;charset=utf-8",
  ])("JSON may be %p", async (type) => expect(await from({ "Content-Type": type })).toBeUndefined());

  test.each(["X-Forwarded-For", "Forwarded"])(
    "%s says that the address is a proxy's, and not the caller's",
    async (name) => {
      const headers = { ...JSON_BODY, [name]: "for=10.0.0.9" };
      const wanted = "a caller at its own address (manager_cidrs), through no proxy";
      expect(await refused(() => from(headers))).toEqual(tokenless(wanted, name));
      expect(await refused(() => from(headers, 'manager_cidrs = ["10.0.0.0/8"]', "10.0.0.1"))).toEqual(
        tokenless(wanted, name),
      );
      expect(await from(headers, ANYONE)).toBeUndefined();
      expect(await from({ ...headers, "X-BackendAI-Token": SECRET })).toBeUndefined();
    },
  );

  test("who is on this machine names the coordinator as it is called, and others as they like", async () => {
    const named = (host: string, section = "", peer = "127.0.0.1") => from({ ...JSON_BODY, Host: host }, section, peer);
    const foreign = { kind: "misdirected-request" as const, msg: 'Host: wanted an address, localhost or a name of this service (proxy_coordinator.allowed_hosts lists more), got "rebound.example:10200"' }; // prettier-ignore
    for (const section of ["", ANYONE]) {
      expect(await refused(() => named("rebound.example:10200", section))).toEqual(foreign);
      for (const host of ["127.0.0.1:10200", "localhost:10200", "the-machine:10200", "10.1.2.3"])
        expect(await named(host, section)).toBeUndefined();
    }
    expect(await named("rebound.example:10200", 'allowed_hosts = ["rebound.example"]')).toBeUndefined();
    expect(await named("rebound.example:10200", 'advertised_addr = "Rebound.example:443"')).toBeUndefined();
    expect(await named("rebound.example:10200", 'manager_cidrs = ["10.0.0.0/8"]', "10.0.0.1")).toBeUndefined();
    expect(await from({ Host: "rebound.example", "X-BackendAI-Token": SECRET })).toBeUndefined();
  });
});

describe("while secrets rotate", () => {
  const [OLDER, OLDEST, ROOT, OLDER_ROOT] = ["an-older-api-key-012345", "the-oldest-api-key-0123", "a-root-of-workers-0123456789", "an-older-root-0123456789-ab"]; // prettier-ignore
  const env = (more: Record<string, string>) =>
    Object.fromEntries(Object.entries(more).map(([key, value]) => [`APP_PROXY_COORDINATOR__SECRETS__${key}`, value]));
  const made = (more: Record<string, string>) => {
    const { values } = coordinatorConfig("", env(more));
    return createAuthenticator(values, hostsOf(values, ["the-machine"]));
  };
  const rotating = made({
    PREVIOUS_API_SECRETS: `${OLDER},${OLDEST}`,
    WORKER_SECRET: ROOT,
    PREVIOUS_WORKER_SECRETS: OLDER_ROOT,
  });
  const token = (secret: string) => new Headers({ "X-BackendAI-Token": secret });

  test.each([SECRET, OLDER, OLDEST])("the api_secret and those before it let in: %s", async (secret) => {
    expect(await rotating.api(token(secret))).toBeUndefined();
    expect(await rotating.worker(token(secret))).toBeNull();
    expect(await rotating.manager(token(secret), "203.0.113.7")).toBeUndefined();
    const signed = await jwt({ exp: NOW + 60 }, secret);
    expect(await rotating.api(new Headers({ Authorization: `Bearer ${signed}` }))).toBeUndefined();
  });

  test("a JWT that is over is that, whichever secret has signed it", async () => {
    for (const secret of [SECRET, OLDEST]) {
      const Authorization = `Bearer ${await jwt({ exp: NOW - 60 }, secret)}`;
      expect(await refused(() => rotating.api(new Headers({ Authorization })))).toEqual(WRONG_JWT);
    }
  });

  test.each([ROOT, OLDER_ROOT])(
    "a worker's own secret speaks for it, and opens workers' calls alone: of %s",
    async (root) => {
      const secret = workerSecret(root, "w-1");
      for (const given of [secret, `Bearer ${secret}`, `BackendAI ${secret}`]) {
        expect(await rotating.worker(token(given))).toBe("w-1");
        const msg = "X-BackendAI-Token is a worker's own secret, which opens workers' calls alone";
        for (const call of [() => rotating.api(token(given)), () => rotating.manager(token(given), "127.0.0.1")])
          expect(await refused(call)).toEqual({ kind: "auth-failed", msg });
      }
    },
  );

  test.each([
    ["one made of another root", workerSecret("another-root-0123456789", "w-1")],
    ["one whose name was changed", workerSecret(ROOT, "w-1").replace(/\.[^.]+\./, ".dy0y.")],
    ["the root itself", ROOT],
    ["one made of the api_secret", workerSecret(SECRET, "w-1")],
  ])("nobody is let in by %s", async (_what, given) => {
    for (const call of [() => rotating.worker(token(given)), () => rotating.api(token(given))])
      expect(await refused(call)).toEqual(WRONG_TOKEN);
  });

  test("without a root no worker has a secret of its own", async () => {
    for (const given of [workerSecret("", "w-1"), workerSecret(SECRET, "w-1")])
      expect(await refused(() => usual.worker(token(given)))).toEqual(WRONG_TOKEN);
    expect(await usual.worker(token(SECRET))).toBeNull();
  });

  test("a worker's JWT is nobody's", async () => {
    const Authorization = `Bearer ${await jwt({ exp: NOW + 60 }, workerSecret(ROOT, "w-1"))}`;
    expect(await refused(() => rotating.worker(new Headers({ Authorization })))).toEqual(WRONG_JWT);
  });
});
