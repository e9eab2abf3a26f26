/** Permits and tickets: whose they are, who can make them, and the cookies that carry them. */
import { createHmac } from "node:crypto";
import { describe, expect, test } from "bun:test";
import { MAX_PERMITS } from "../../../worker/access/permit-jar.ts";
import {
  cookieValues,
  expiryLine,
  LEGACY_COOKIE,
  legacyLines,
  permitCookieName,
  permitLine,
  type PermitRules,
} from "../../../worker/access/permit-cookie.ts";
import { issueOf, legacyPermit, PermitAuthority } from "../../../worker/access/permit.ts";
import vectors from "../../fixtures/permit.json" with { type: "json" };
import { until } from "../../support/until.ts";
import { CIRCUIT, USER } from "../../support/values.ts";

const SECRET = "a-permit-secret-0123456789";
const OTHER = "another-permit-secret-0123456789";
const NOW = 1_800_000_000;

function authority(secret = SECRET, previous: string[] = [], compact = true, name = "worker-1"): PermitAuthority {
  return new PermitAuthority(
    { secret, previous_secrets: previous, digest_mod: "sha256" },
    { authority: name, compact },
  );
}
const permits = authority();
const permit = permits.issue(USER, CIRCUIT, NOW, 3600);
const long = authority(SECRET, [], false).issue(USER, CIRCUIT, NOW, 3600);
const CLAIMS = { uid: USER, cid: CIRCUIT, iat: NOW, exp: NOW + 3600 };
const read = (from: PermitAuthority, text: string) => from.read(text, USER, { id: CIRCUIT });
const ticket = permits.ticket({ uid: USER, cid: CIRCUIT, jti: "j-1", path: "/lab" }, NOW);

test("one that is remembered keeps nothing of its request", async () => {
  const circuits = Array.from({ length: 3000 }, () => ({ id: crypto.randomUUID() }));
  const rest = "x".repeat(32_000);
  const before = memory();
  for (const circuit of circuits) {
    const head = Buffer.from(`${permits.issue(USER, circuit.id, NOW, 3600)}; ${rest}`).toString("latin1");
    expect(permits.read(head.slice(0, head.indexOf(";")), USER, circuit)).not.toBeNull();
  }
  // The heads are 96 MB. What is free goes back to the system a while later.
  await until(() => memory() - before < 48 * 2 ** 20, 30_000, "less than 48 MiB");
  // With a circuit goes what is remembered for it.
  expect(circuits.length).toBe(3000);
});

function memory(): number {
  Bun.gc(true);
  return process.memoryUsage.rss();
}

describe("the original's permit", () => {
  test.each(vectors)("is base64 of the hex digits of the HMAC: $digest_mod", (vector) => {
    expect(legacyPermit(vector.secret, vector.user_id, vector.digest_mod)).toBe(vector.permit);
    expect(legacyPermit(vector.secret, vector.user_id.toUpperCase(), vector.digest_mod)).toBe(vector.permit);
  });

  test.each(vectors)("is made and known with the configured digest: $digest_mod", (vector) => {
    const one = new PermitAuthority({ ...vector, previous_secrets: [] });
    expect(one.legacy(vector.user_id)).toBe(vector.permit);
    expect(one.isLegacy(vector.permit, vector.user_id)).toBe(true);
    expect(one.isLegacy(vector.permit, "00000000-0000-4000-8000-00000000ffff")).toBe(false);
    expect(one.isLegacy("", vector.user_id)).toBe(false);
  });

  test("of a previous secret is known, of another it is not", () => {
    const old = authority(OTHER).legacy(USER);
    expect(authority(SECRET, [OTHER]).isLegacy(old, USER)).toBe(true);
    expect(authority(SECRET, []).isLegacy(old, USER)).toBe(false);
  });

  test("is not a permit of ours", () => {
    expect(read(permits, permits.legacy(USER))).toBeNull();
  });
});

describe("a permit", () => {
  test("is short: at most 120 bytes with its name, and 24 of them a quarter of what servers take", () => {
    expect(`${permitCookieName(CIRCUIT, true)}=${permit}`).toHaveLength(83);
    expect(permit).toMatch(/^v3\.[A-Za-z0-9_-]{48}$/);
    expect(MAX_PERMITS * `${permitCookieName(CIRCUIT, true)}=${permit}; `.length).toBeLessThan(8192 / 3);
  });

  test("says when it was issued and by which worker's authority, to whoever reads it", () => {
    expect(issueOf(permit)).toEqual({ tag: expect.any(Number), iat: NOW, exp: NOW + 3600 });
    const other = authority(SECRET, [], true, "worker-2");
    expect([permits.isOwn(issueOf(permit)), other.isOwn(issueOf(permit))]).toEqual([true, false]);
    expect([issueOf("x"), issueOf(""), issueOf(`v3.${"A".repeat(47)}`), issueOf("v2.e30.x")]).toEqual([null, null, null, null]); // prettier-ignore
  });

  test("of the earlier form is as good, until it expires; whose it was is not in it", () => {
    const [version, body] = long.split(".");
    const kid = expect.stringMatching(/^[0-9a-f]{8}$/);
    const claims: unknown = JSON.parse(Buffer.from(body ?? "", "base64url").toString());
    expect<unknown>([version, claims]).toEqual(["v2", { ...CLAIMS, kid }]);
    expect(read(permits, long)).toMatchObject(CLAIMS);
    expect(issueOf(long)).toEqual({ tag: NaN, iat: NOW, exp: NOW + 3600 });
    expect(permits.isOwn(issueOf(long))).toBe(false);
  });

  test("with any one character changed is none", () => {
    const good = [...permit].filter((character, at) => {
      const changed = permit.slice(0, at) + (character === "A" ? "B" : "A") + permit.slice(at + 1);
      return read(authority(), changed) !== null;
    });
    expect(good).toEqual([]);
  });

  test("in other characters that decode to the same bytes is none", () => {
    const standard = permit.slice(3).replaceAll("-", "+").replaceAll("_", "/");
    expect([`v3.${standard}=`, `v3. ${permit.slice(3)}`].map((text) => read(authority(), text))).toEqual([null, null]);
  });
});

describe.each([
  ["compact", permit, true],
  ["of the earlier form", long, false],
])("a permit %s", (_form, text, compact) => {
  const issuer = authority(SECRET, [], compact);

  test("is its person's for its circuit, and nobody else's", () => {
    expect(read(permits, text)).toMatchObject(CLAIMS);
    for (const from of [permits, authority()]) {
      expect(from.read(text, "00000000-0000-4000-8000-000000000001", { id: CIRCUIT })).toBeNull();
      expect(from.read(text, USER, { id: "c1c1c1c1-0000-4000-8000-000000000002" })).toBeNull();
      expect(from.read(text, "", { id: "" })).toBeNull();
    }
    expect(read(permits, text)).toMatchObject(CLAIMS);
  });

  test("is read whatever its age: its time is for the admission to judge", () => {
    expect(read(permits, issuer.issue(USER, CIRCUIT, 0, 1))).toMatchObject({ iat: 0, exp: 1 });
  });

  test("has characters that a cookie may hold", () => {
    expect(text).toMatch(/^[A-Za-z0-9._-]+$/);
  });

  const parts = text.split(".");
  test.each([
    ["nothing", ""],
    ["its last part missing", parts.slice(0, -1).join(".")],
    ["its last part empty", `${parts.slice(0, -1).join(".")}.`],
    ["another part", `${text}.x`],
    ["another person's signature", `${parts.slice(0, -1).join(".")}.${issuer.issue("x", CIRCUIT, NOW, 1).split(".").at(-1)}`], // prettier-ignore
    ["another version", text.replace(/^v./, "v1")],
    ["a blank behind it", `${text} `],
    ["the signature in hex", `${parts.slice(0, -1).join(".")}.${Buffer.from(parts.at(-1) ?? "", "base64url").toString("hex")}`], // prettier-ignore
  ])("with %s is none", (_what, broken) => {
    expect(read(permits, broken)).toBeNull();
  });

  test("of another secret is none, also to one who has read the genuine one", () => {
    const other = authority(OTHER);
    expect([read(other, text), read(permits, other.issue(USER, CIRCUIT, NOW, 3600))]).toEqual([null, null]);
  });

  test("is read by a worker whose secret was rotated, which signs with the new one", () => {
    const rotated = authority(OTHER, [SECRET], compact);
    expect(read(rotated, text)).toMatchObject(CLAIMS);
    const fresh = rotated.issue(USER, CIRCUIT, NOW, 3600);
    expect([read(authority(OTHER), fresh)?.uid, read(permits, fresh)]).toEqual([USER, null]);
    expect(read(authority(OTHER), text)).toBeNull();
  });
});

describe("a permit of the earlier form", () => {
  test("longer than 4 KiB is none even if it is genuine", () => {
    const issuer = authority(SECRET, [], false);
    const [some, many] = ["u".repeat(2500), "u".repeat(4000)];
    expect(permits.read(issuer.issue(some, CIRCUIT, NOW, 1), some, { id: CIRCUIT })).not.toBeNull();
    expect(permits.read(issuer.issue(many, CIRCUIT, NOW, 1), many, { id: CIRCUIT })).toBeNull();
  });

  // Signed with the right key, as some other program with the same secret might.
  const key = createHmac("sha256", SECRET).update("appproxy permit v2").digest();
  test.each([
    "nonsense",
    "",
    "null",
    "[]",
    "5",
    "{}",
    `{"uid":"${USER}","cid":"${CIRCUIT}","iat":1,"exp":"2"}`,
    `{"uid":"${USER}","cid":"${CIRCUIT}"}`,
  ])("with a genuine signature over %p is none", (text) => {
    const signed = `v2.${Buffer.from(text).toString("base64url")}`;
    expect(read(permits, `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`)).toBeNull();
  });
});

describe("a ticket", () => {
  test("says who goes where, once, within a minute", () => {
    expect<unknown>(permits.readTicket(ticket)).toEqual({
      uid: USER,
      cid: CIRCUIT,
      jti: "j-1",
      path: "/lab",
      exp: NOW + 60,
      kid: expect.stringMatching(/^[0-9a-f]{8}$/),
    });
  });

  test("of a previous secret is taken, of another it is not", () => {
    expect(authority(OTHER, [SECRET]).readTicket(ticket)?.jti).toBe("j-1");
    expect(authority(OTHER).readTicket(ticket)).toBeNull();
  });

  test("is not a permit, nor a permit a ticket, whatever it calls itself", () => {
    expect([read(permits, ticket), permits.readTicket(permit), permits.readTicket(long)]).toEqual([null, null, null]);
    expect([read(permits, ticket.replace("t1", "v2")), permits.readTicket(long.replace("v2", "t1"))]).toEqual([
      null,
      null,
    ]);
  });

  test.each(["", "x", "t1..", "t1.e30.x"])("that is none: %p", (text) => {
    expect(permits.readTicket(text)).toBeNull();
  });
});

describe("the cookie", () => {
  test("is bound to its circuit by name, and under TLS to its host", () => {
    expect(permitCookieName(CIRCUIT, false)).toBe("appproxy_permit_c1c1c1c1");
    expect(permitCookieName(CIRCUIT, true)).toBe("__Host-appproxy_permit_c1c1c1c1");
    expect(LEGACY_COOKIE).toBe("appproxy_permit");
  });

  function rules(over: Partial<PermitRules> = {}): PermitRules {
    const permits = authority();
    return { permits, secure: false, sameSite: "lax", acceptLegacy: false, lifetime: 60, now: () => NOW * 1000, ...over }; // prettier-ignore
  }
  const issued = authority().issue(USER, CIRCUIT, NOW, 60);

  test.each<[string, Partial<PermitRules>, string]>([
    ["over http", {}, `appproxy_permit_c1c1c1c1=${issued}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Priority=High`],
    ["under TLS, for nothing else", { secure: true }, `__Host-appproxy_permit_c1c1c1c1=${issued}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure; Priority=High`], // prettier-ignore
    ["for frames, kept apart for each site that shows it", { secure: true, sameSite: "none" }, `__Host-appproxy_permit_c1c1c1c1=${issued}; Path=/; Max-Age=60; HttpOnly; SameSite=None; Secure; Partitioned; Priority=High`], // prettier-ignore
  ])("is for the whole host, for no script and for no other site: %s", (_, over, line) => {
    expect(permitLine(USER, CIRCUIT, rules(over))).toEqual(["Set-Cookie", line]);
  });

  test("of the original is set where it counts, and for nobody never", () => {
    expect(legacyLines(USER, rules())).toEqual([]);
    expect(legacyLines("", rules({ acceptLegacy: true }))).toEqual([]);
    const value = legacyPermit(SECRET, USER, "sha256");
    expect(legacyLines(USER, rules({ acceptLegacy: true }))).toEqual([
      ["Set-Cookie", `appproxy_permit=${value}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Priority=High`],
    ]);
  });

  test("is expired with the attributes that browsers take for its name", () => {
    const [plain, bound] = ["appproxy_permit_c1c1c1c1", "__Host-appproxy_permit_c1c1c1c1"];
    expect(expiryLine(plain, rules())[1]).toBe(`${plain}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax`);
    expect(expiryLine(bound, rules())[1]).toBe(`${bound}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure`);
  });

  test.each([
    [null, []],
    ["", []],
    ["a=1", ["1"]],
    ["b=2; a=1; ab=3", ["1"]],
    ["a=1; b=2; a=3", ["1", "3"]],
    [" a = 1 ;a=2", ["1", "2"]],
    ["a=MTIz==; b=x", ["MTIz=="]],
    ["a; b=1", []],
    ["a=", [""]],
    ["A=1; xa=2; a-=3", []],
    ["a; a=1;;=;a=b=c", ["1", "b=c"]],
    [`${"a;".repeat(1000)}a=1`, ["1"]],
    [`${"b=1;".repeat(2000)}a=1`, []],
  ])("in %p has the values %p", (header, values) => {
    expect(cookieValues(header, "a")).toEqual(values);
  });

  test("so many times that nobody means it is looked at some times", () => {
    expect(cookieValues("a=1;".repeat(500), "a").length).toBe(24);
  });
});
