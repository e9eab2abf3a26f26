/** Permits and tickets: whose they are, who can make them, and the cookies that carry them. */
import { createHmac } from "node:crypto";
import { describe, expect, test } from "bun:test";
import {
  cookieValues,
  LEGACY_COOKIE,
  legacyPermit,
  PermitAuthority,
  permitCookie,
  permitCookieName,
} from "../../worker/permit.ts";
import vectors from "../fixtures/permit.json" with { type: "json" };
import { CIRCUIT, USER } from "../support/values.ts";

const SECRET = "a-permit-secret-0123456789";
const OTHER = "another-permit-secret-0123456789";
const NOW = 1_800_000_000;

function authority(secret = SECRET, previous: string[] = []): PermitAuthority {
  return new PermitAuthority({ secret, previous_secrets: previous, digest_mod: "sha256" });
}
const permits = authority();
const permit = permits.issue(USER, CIRCUIT, NOW, 3600);
const ticket = permits.ticket({ uid: USER, cid: CIRCUIT, jti: "j-1", path: "/lab" }, NOW);

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
    expect(permits.read(permits.legacy(USER))).toBeNull();
  });
});

describe("a permit", () => {
  test("says whose it is, for what and until when", () => {
    const [version, body] = permit.split(".");
    expect(version).toBe("v2");
    const claims: unknown = JSON.parse(Buffer.from(body ?? "", "base64url").toString());
    expect(claims).toEqual({
      uid: USER,
      cid: CIRCUIT,
      iat: NOW,
      exp: NOW + 3600,
      kid: expect.stringMatching(/^[0-9a-f]{8}$/),
    });
    expect<unknown>(permits.read(permit)).toEqual(claims);
    expect<unknown>(permits.read(permit)).toEqual(claims);
  });

  test("is read whatever its age: its time is for the admission to judge", () => {
    expect(permits.read(permits.issue(USER, CIRCUIT, 0, 1))).toMatchObject({ iat: 0, exp: 1 });
  });

  test("has characters that a cookie may hold", () => {
    expect(permit).toMatch(/^[A-Za-z0-9._-]+$/);
  });

  test("with any one character changed is none", () => {
    const read = [...permit].filter((character, at) => {
      const changed = permit.slice(0, at) + (character === "A" ? "B" : "A") + permit.slice(at + 1);
      return authority().read(changed) !== null;
    });
    expect(read).toEqual([]);
  });

  const [version, body, mac] = permit.split(".");
  test.each([
    ["nothing", ""],
    ["two parts", `${version}.${body}`],
    ["four parts", `${permit}.x`],
    ["an empty signature", `${version}.${body}.`],
    ["another person's claims", `${version}.${permits.issue("x", CIRCUIT, NOW, 1).split(".")[1]}.${mac}`],
    ["another version", permit.replace("v2", "v1")],
    ["a blank behind it", `${permit} `],
    ["a signature in another encoding", `${version}.${body}.${Buffer.from(mac ?? "", "base64url").toString("hex")}`],
  ])("with %s is none", (_what, text) => {
    expect(permits.read(text)).toBeNull();
  });

  test("of another secret is none, also to one who has read the genuine one", () => {
    const other = authority(OTHER);
    expect([other.read(permit), permits.read(other.issue(USER, CIRCUIT, NOW, 3600))]).toEqual([null, null]);
  });

  test("longer than 4 KiB is none even if it is genuine", () => {
    expect(permits.read(permits.issue("u".repeat(2500), CIRCUIT, NOW, 1))).not.toBeNull();
    expect(permits.read(permits.issue("u".repeat(4000), CIRCUIT, NOW, 1))).toBeNull();
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
    `{"uid":"u","cid":"c","iat":1,"exp":"2"}`,
    `{"uid":"u","cid":"c"}`,
  ])("with a genuine signature over %p is none", (text) => {
    const signed = `v2.${Buffer.from(text).toString("base64url")}`;
    expect(permits.read(`${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`)).toBeNull();
  });
});

describe("a rotated secret", () => {
  test("still lets in who was let in before, and signs with the new one", () => {
    const rotated = authority(OTHER, [SECRET]);
    expect(rotated.read(permit)).toEqual(permits.read(permit));
    const fresh = rotated.issue(USER, CIRCUIT, NOW, 3600);
    expect([authority(OTHER).read(fresh)?.uid, permits.read(fresh)]).toEqual([USER, null]);
  });

  test("that is dropped lets nobody in", () => {
    expect(authority(OTHER).read(permit)).toBeNull();
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
      kid: permits.read(permit)?.kid,
    });
  });

  test("of a previous secret is taken, of another it is not", () => {
    expect(authority(OTHER, [SECRET]).readTicket(ticket)?.jti).toBe("j-1");
    expect(authority(OTHER).readTicket(ticket)).toBeNull();
  });

  test("is not a permit, nor a permit a ticket, whatever it calls itself", () => {
    expect([permits.read(ticket), permits.readTicket(permit)]).toEqual([null, null]);
    expect([permits.read(ticket.replace("t1", "v2")), permits.readTicket(permit.replace("v2", "t1"))]).toEqual([
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

  test("is for the whole host, for no script and for no other site, and under TLS for nothing else", () => {
    expect(permitCookie("n", "v", { secure: false, sameSite: "lax" }, 60)).toBe(
      "n=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
    );
    expect(permitCookie("n", "v", { secure: true, sameSite: "lax" }, 60)).toBe(
      "n=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure",
    );
  });

  test("for frames is sent to other sites' pages too, kept apart for each of them", () => {
    expect(permitCookie("n", "v", { secure: true, sameSite: "none" }, 60)).toBe(
      "n=v; Path=/; Max-Age=60; HttpOnly; SameSite=None; Secure; Partitioned",
    );
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
  ])("in %p has the values %p", (header, values) => {
    expect(cookieValues(header, "a")).toEqual(values);
  });
});
