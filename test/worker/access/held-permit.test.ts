/** What cookies are worth for a circuit: one answer for all who ask. */
import { describe, expect, test } from "bun:test";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { heldPermit, holdsPermit, showsPermit, validPermitOf } from "../../../worker/access/held-permit.ts";
import type { PermitRules } from "../../../worker/access/permit-cookie.ts";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { circuit, CIRCUIT, USER } from "../../support/values.ts";

const NOW = 1_800_000_000;
const NAME = "appproxy_permit_c1c1c1c1";
const permits = new PermitAuthority({
  secret: "a-permit-secret-0123456789",
  previous_secrets: [],
  digest_mod: "sha256",
});

function rules(over: Partial<PermitRules> = {}): PermitRules {
  return { permits, secure: false, sameSite: "lax", acceptLegacy: true, lifetime: 60, now: () => NOW * 1000, ...over };
}

const own = (uid = USER, age = 0) => `${NAME}=${permits.issue(uid, CIRCUIT, NOW - age, 60)}`;
const legacy = (uid = USER) => `appproxy_permit=${permits.legacy(uid)}`;

describe("cookies", () => {
  test.each<[string, string | null, string, Partial<PermitRules>?, Partial<Circuit>?]>([
    ["none", null, "none"],
    ["of others alone", "theme=dark", "none"],
    ["of its person", own(), "permit"],
    ["of its person behind a bad one", `${NAME}=x; ${own()}`, "permit"],
    ["in its last second", own(USER, 59), "permit"],
    ["that have expired", own(USER, 60), "invalid"],
    ["of somebody else", own("2a5c1d0e-0000-4000-8000-000000000001"), "invalid"],
    ["of the original", legacy(), "legacy"],
    ["of the original, beside a stale one of ours", `${own(USER, 60)}; ${legacy()}`, "legacy"],
    ["of the original for somebody else", legacy("2a5c1d0e-0000-4000-8000-000000000001"), "invalid"],
    ["of the original where it does not count", legacy(), "none", { acceptLegacy: false }],
    ["of the https name where there is no TLS", `__Host-${own()}`, "none"],
    ["of a circuit without an owner: nobody's", own(""), "invalid", {}, { user_id: null }],
    ["of the original's nobody", legacy(""), "invalid", {}, { user_id: null }],
    ["of a public circuit: it was cleared", own(""), "permit", {}, { open_to_public: true }],
    ["of a public circuit's owner", own(), "invalid", {}, { open_to_public: true }],
    ["of the original for a public one", legacy(""), "invalid", {}, { open_to_public: true }],
  ])("%s", (_, cookies, kind, over = {}, of = {}) => {
    const one = circuit(of);
    expect(heldPermit(one, cookies, rules(over)).kind).toBe(kind as "none");
    expect(holdsPermit(one, cookies, rules(over))).toBe(kind === "permit" || kind === "legacy");
  });

  test("tell since when the permit is", () => {
    const claims = { uid: USER, cid: CIRCUIT, iat: NOW - 7, exp: NOW + 53 };
    expect(heldPermit(circuit(), own(USER, 7), rules())).toEqual({ kind: "permit", claims });
    expect(validPermitOf(USER, circuit(), own(USER, 7), rules())).toEqual(claims);
    expect(validPermitOf("", circuit(), own(USER, 7), rules())).toBeNull();
  });

  test("show something of the kind, good or not, whether it counts or not", () => {
    const shows = (cookies: string | null) => showsPermit(circuit(), cookies, false);
    expect([null, "theme=dark", `${NAME}2=x`].map(shows)).toEqual([false, false, false]);
    expect([`${NAME}=x`, "appproxy_permit=x"].map(shows)).toEqual([true, true]);
  });
});
