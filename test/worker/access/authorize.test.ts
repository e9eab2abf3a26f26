/** May a request pass to the app: address list, credential, where it comes from. */
import { describe, expect, test } from "bun:test";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { reason } from "../../../shared/failure.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import { admit, checkAddress, validPermit, type AdmitSettings } from "../../../worker/access/authorize.ts";
import { createBearers } from "../../../worker/access/bearer.ts";
import { clientOf } from "../../../worker/http/client-address.ts";
import { createPermitJar } from "../../../worker/access/permit-jar.ts";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { CIRCUIT, entry, head, newTable, refused, USER, type HeadWish } from "../../support/values.ts";

const NOW = 1_800_000_000;
const LIFETIME = 43_200;
const LISTED = "https://listed.example";
const HOST: [string, string] = ["Host", "apps.example:10205"];
const permits = new PermitAuthority({
  secret: "a-permit-secret-0123456789",
  previous_secrets: [],
  digest_mod: "sha256",
});
const stranger = new PermitAuthority({
  secret: "a-strange-secret-0123456789",
  previous_secrets: [],
  digest_mod: "sha256",
});

function settings(over: Partial<AdmitSettings> = {}): AdmitSettings {
  return {
    permits,
    jar: createPermitJar({
      permits,
      table: newTable(),
      cookie: { secure: false, sameSite: "lax" },
      complete: () => true,
      now: () => NOW * 1000,
    }),
    bearers: createBearers("unused", () => NOW * 1000),
    secure: false,
    sameSite: "lax",
    acceptLegacy: false,
    own: () => ({ origin: "https://apps.example:10205", lists: (origin) => origin === LISTED }),
    lifetime: LIFETIME,
    now: () => NOW * 1000,
    ...over,
  };
}

/** The permit of the circuit's own user, issued `age` seconds ago. */
const permit = (age = 0, uid = USER, cid = CIRCUIT) => permits.issue(uid, cid, NOW - age, LIFETIME);
const cookie = (value: string): [string, string] => ["Cookie", `theme=dark; appproxy_permit_c1c1c1c1=${value}`];
const good = cookie(permit());

function enter(headers: [string, string][], over: HeadWish = {}, circuit: Partial<Circuit> = {}, how = settings()) {
  const request = head({ ...over, headers: [HOST, ...headers] });
  const one = entry(circuit);
  const client = clientOf(request, { trusted: addressMatcher([]), secure: false });
  checkAddress(one, client.address);
  const admitted = admit(one, request, client, how);
  if (admitted instanceof Promise) throw new Error("only bearer tokens take their time");
  return admitted;
}
const refusal = (...given: Parameters<typeof enter>) => refused(() => enter(...given));

function caught(act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

const ABSENT = { kind: "invalid-credentials", msg: "E20004: Authorization cookie not provided" } as const;
const INVALID = { kind: "invalid-credentials", msg: "E20005: Invalid authorization cookie" } as const;
const CROSS_SITE = { kind: "generic-forbidden", msg: "Origin: wanted the circuit's own" } as const;
const WRONG_ADDRESS = { kind: "client-ip-not-allowed", msg: "E20011: Client address not allowed" } as const;

describe("a permit", () => {
  test("of the circuit's user lets in, and nothing is added while it is fresh", () => {
    expect(enter([good])).toEqual([]);
    expect(validPermit(entry(), head({ headers: [good] }), settings())).toMatchObject({
      uid: USER,
      cid: CIRCUIT,
      iat: NOW,
    });
  });

  test("that is good lets in also behind a stale one of the same name", () => {
    expect(enter([["Cookie", `appproxy_permit_c1c1c1c1=old; appproxy_permit_c1c1c1c1=${permit()}`]])).toEqual([]);
  });

  test("is wanted for every method and for upgrades", async () => {
    for (const method of ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
      expect(await refusal([], { method })).toEqual(ABSENT);
    expect(await refusal([], { upgrade: true })).toEqual(ABSENT);
  });

  test.each([
    ["that is garbage", "x"],
    ["that is empty", ""],
    ["of another circuit", permit(0, USER, "c2c2c2c2-0000-4000-8000-000000000001")],
    ["of another circuit whose id starts alike", permit(0, USER, "c1c1c1c1-0000-4000-8000-000000000002")],
    ["of another user", permit(0, "00000000-0000-4000-8000-000000000001")],
    ["of nobody", permit(0, "")],
    ["that has expired just now", permit(LIFETIME)],
    ["signed with another secret", stranger.issue(USER, CIRCUIT, NOW, LIFETIME)],
    ["that is a ticket", permits.ticket({ uid: USER, cid: CIRCUIT, jti: "j", path: "/" }, NOW)],
    ["that is the original's", permits.legacy(USER)],
  ])("%s is refused", async (_what, value) => {
    expect(await refusal([cookie(value)])).toEqual(INVALID);
  });

  test("that was found once lets in no longer than it lives", () => {
    const request = head({ headers: [HOST, good] });
    const client = clientOf(request, { trusted: addressMatcher([]), secure: false });
    const known = { permit: null };
    const at = (now: number) => admit(entry(), request, client, settings({ now: () => now * 1000 }), known);
    expect(at(NOW)).toEqual([]);
    expect(known.permit).toMatchObject({ exp: NOW + LIFETIME });
    expect(at(NOW + LIFETIME - 1)).toHaveLength(1);
    expect(caught(() => at(NOW + LIFETIME)).message).toContain("E20005");
  });

  test("lives to its last second", () => {
    expect(enter([cookie(permit(LIFETIME - 1))])).toHaveLength(1);
  });

  test("of nobody does not open a circuit without a user", async () => {
    expect(await refusal([cookie(permit(0, ""))], {}, { user_id: null })).toEqual(INVALID);
  });

  test("under another name is none", async () => {
    expect(await refusal([["Cookie", `appproxy_permit=${permit()}; x=${permit()}`]])).toEqual(ABSENT);
  });

  test("has its host-bound name under TLS, and only that", async () => {
    const how = settings({ secure: true });
    expect(enter([["Cookie", `__Host-appproxy_permit_c1c1c1c1=${permit()}`]], {}, {}, how)).toEqual([]);
    expect(await refusal([good], {}, {}, how)).toEqual(ABSENT);
  });
});

describe("the original's permit", () => {
  const how = settings({ acceptLegacy: true });
  const old = (value: string): [string, string] => ["Cookie", `appproxy_permit=${value}`];

  test("lets in where that is configured, without being renewed", () => {
    expect(enter([old(permits.legacy(USER))], {}, {}, how)).toEqual([]);
  });

  // Seen of the worker 26.9.6: `Set-Cookie: appproxy_permit="NDAx…Yg=="; HttpOnly; …`, and clients send it back like that.
  test("lets in with the quotes that the original sets around it, for WebSockets too", async () => {
    expect(enter([old(`"${permits.legacy(USER)}"`)], {}, {}, how)).toEqual([]);
    expect(enter([old(`"${permits.legacy(USER)}"`)], { upgrade: true }, {}, how)).toEqual([]);
    expect(await refusal([old(`"${permits.legacy(USER)}`)], {}, {}, how)).toEqual(INVALID);
    expect(await refusal([old('"')], {}, {}, how)).toEqual(INVALID);
    expect(await refusal([old('""')], {}, {}, how)).toEqual(INVALID);
  });

  test.each([
    ["of another user", permits.legacy("00000000-0000-4000-8000-000000000001"), USER],
    ["of another secret", stranger.legacy(USER), USER],
    ["for a circuit without a user", permits.legacy(""), null],
  ])("%s is refused", async (_what, value, user) => {
    expect(await refusal([old(value)], {}, { user_id: user }, how)).toEqual(INVALID);
  });

  test("is not looked at elsewhere", async () => {
    expect(await refusal([old(permits.legacy(USER))])).toEqual(ABSENT);
  });

  test("is held to the Origin rule too", async () => {
    const headers: [string, string][] = [old(permits.legacy(USER)), ["Origin", "http://evil.example"]];
    expect(await refusal(headers, { method: "POST" }, {}, how)).toEqual(CROSS_SITE);
  });
});

describe("a permit older than a 48th of its life, a quarter of an hour", () => {
  test("is renewed with the same person, circuit and a whole life", () => {
    const [[name, line] = ["", ""], ...more] = enter([cookie(permit(LIFETIME / 48))]);
    const value =
      /^appproxy_permit_c1c1c1c1=(\S+); Path=\/; Max-Age=43200; HttpOnly; SameSite=Lax; Priority=High$/.exec(line)?.[1];
    expect([name, more]).toEqual(["Set-Cookie", []]);
    expect(permits.read(value ?? "", USER, { id: CIRCUIT })).toMatchObject({
      uid: USER,
      cid: CIRCUIT,
      iat: NOW,
      exp: NOW + LIFETIME,
    });
  });

  test("is not renewed a second before", () => {
    expect(enter([cookie(permit(LIFETIME / 48 - 1))])).toEqual([]);
  });

  test("takes with it, when it is renewed, what of its worker's other permits is over", () => {
    const gone = `appproxy_permit_d0d0d0d0=${permits.issue(USER, "d0d0d0d0-0000-4000-8000-000000000001", NOW - 61, LIFETIME)}`;
    const [, ...more] = enter([["Cookie", `appproxy_permit_c1c1c1c1=${permit(LIFETIME / 2)}; ${gone}`]]);
    expect(more).toEqual([["Set-Cookie", "appproxy_permit_d0d0d0d0=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"]]);
    expect(enter([["Cookie", `appproxy_permit_c1c1c1c1=${permit()}; ${gone}`]])).toEqual([]);
  });

  test("is renewed for TLS only", () => {
    const headers: [string, string][] = [["Cookie", `__Host-appproxy_permit_c1c1c1c1=${permit(LIFETIME / 48)}`]];
    const [[, line] = ["", ""]] = enter(headers, {}, {}, settings({ secure: true }));
    expect(line).toMatch(
      /^__Host-appproxy_permit_c1c1c1c1=\S+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure; Priority=High$/,
    );
  });
});

describe("a request from another site", () => {
  test.each([
    ["http://evil.example"],
    ["http://apps.example"],
    ["http://apps.example:10206"],
    ["http://apps.example.evil.example:10205"],
    ["http://apps.example:10205.evil.example"],
    ["null"],
    [""],
    ["nonsense"],
  ])("of Origin %p changes nothing and opens no WebSocket", async (origin) => {
    const headers: [string, string][] = [good, ["Origin", origin]];
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "get"]) {
      expect(await refusal(headers, { method })).toEqual(CROSS_SITE);
    }
    expect(await refusal(headers, { upgrade: true })).toEqual(CROSS_SITE);
    expect(await refusal([...headers, ["Upgrade", "tunnel/1"]])).toEqual(CROSS_SITE);
  });

  test.each(["GET", "HEAD", "OPTIONS"])("may still %s", (method) => {
    expect(enter([good, ["Origin", "http://evil.example"]], { method })).toEqual([]);
  });

  // Chromium 156: only some of a page's requests have an Origin, and none has to have a Referer.
  const FROM: [string, string][][] = [[], [["Origin", "http://evil.example"]], [["Origin", "null"]], [["Referer", "http://evil.example/"]], [["Origin", "null"], ["Referer", `${LISTED}/`]]]; // prettier-ignore
  test.each(["cors", "no-cors", "same-origin"])("loads nothing into its page with mode %s", async (mode) => {
    for (const site of ["same-site", "cross-site"])
      for (const from of FROM)
        for (const method of ["GET", "HEAD", "OPTIONS"])
          expect(await refusal([good, ["Sec-Fetch-Site", site], ["Sec-Fetch-Mode", mode], ...from], { method })).toEqual(CROSS_SITE); // prettier-ignore
  });

  test.each(["same-site", "cross-site"])("leads a person to the app: %s", (site) => {
    for (const from of FROM)
      for (const [mode, dest] of [["navigate", "document"], ["navigate", "iframe"], ["nested-navigate", "iframe"]] as const) // prettier-ignore
        expect(enter([good, ["Sec-Fetch-Site", site], ["Sec-Fetch-Mode", mode], ["Sec-Fetch-Dest", dest], ...from])).toEqual([]); // prettier-ignore
  });

  test.each([
    ["same-origin", []],
    ["none", []],
    ["same-site", [["Origin", LISTED]]],
    ["cross-site", [["Referer", `${LISTED}/`]]],
    // Its own, by way of another origin.
    ["cross-site", [["Referer", "http://apps.example:10205/page"]]],
    ["same-site", [["Referer", "https://apps.example:10205/"]]],
  ] as [string, [string, string][]][])("loads into a page where it is %s with %p", (site, from) => {
    for (const mode of ["cors", "no-cors"])
      expect(enter([good, ["Sec-Fetch-Site", site], ["Sec-Fetch-Mode", mode], ...from])).toEqual([]);
  });

  test("is told so only when its permit is good", async () => {
    const headers: [string, string][] = [cookie("x"), ["Origin", "http://evil.example"]];
    expect(await refusal(headers, { method: "POST" })).toEqual(INVALID);
  });

  test.each([
    ["http://apps.example:10205", "apps.example:10205"],
    ["https://apps.example:10205", "apps.example:10205"],
    ["http://APPS.example:10205", "apps.EXAMPLE:10205"],
    ["http://apps.example", "apps.example:80"],
    ["https://apps.example:443", "apps.example"],
    ["http://[::1]:10205", "[::1]:10205"],
  ])("is one of its own when Origin is %s and Host %s", (origin, host) => {
    const headers: [string, string][] = [["Host", host], good, ["Origin", origin]];
    for (const over of [{ method: "POST" }, { upgrade: true }]) {
      const request = head({ ...over, headers });
      expect(
        admit(entry(), request, clientOf(request, { trusted: addressMatcher([]), secure: false }), settings()),
      ).toEqual([]);
    }
  });

  // Chromium 156: what a browser sends for forms, fetches and reloads on https and loopback, with any Referrer-Policy.
  test.each([
    ["null", "same-origin"],
    ["null", "none"],
    ["http://rewritten-by-a-proxy.example", "same-origin"],
    [null, "same-origin"],
    [LISTED, "cross-site"],
    [LISTED, "same-site"],
  ])("is none with Origin %p and Sec-Fetch-Site: %s", (origin, site) => {
    const headers: [string, string][] = [good, ["Sec-Fetch-Site", site]];
    if (origin !== null) headers.push(["Origin", origin]);
    for (const over of [{ method: "POST" }, { upgrade: true }]) expect(enter(headers, over)).toEqual([]);
  });

  test.each([
    ["null", "cross-site"],
    ["null", "same-site"],
    // Whatever Origin says: the browser knows better.
    ["http://apps.example:10205", "same-site"],
    ["https://apps.example:10205", "cross-site"],
    [null, "cross-site"],
    ["http://apps.example:10205", "Same-Origin"],
    ["http://apps.example:10205", ""],
  ])("with Origin %p and Sec-Fetch-Site: %s is refused", async (origin, site) => {
    const headers: [string, string][] = [good, ["Sec-Fetch-Site", site]];
    if (origin !== null) headers.push(["Origin", origin]);
    expect(await refusal(headers, { method: "POST" })).toEqual(CROSS_SITE);
  });

  test.each([
    ["http://apps.example:10206", "https"],
    ["ftp://apps.example:10206", "http"],
  ])("of %s is a stranger's where the circuit is reached over %s", async (origin, proto) => {
    const headers: [string, string][] = [["Host", "apps.example:10206"], good, ["Origin", origin]];
    for (const over of [{ method: "POST" }, { upgrade: true }]) {
      const request = head({ ...over, headers });
      const client = clientOf(request, { trusted: addressMatcher([]), secure: proto === "https" });
      expect(await refused(() => admit(entry(), request, client, settings()))).toEqual(CROSS_SITE);
    }
  });

  test("of a listed origin, or of the circuit's own that a proxy's Host hides, is none without Sec-Fetch-Site", () => {
    for (const origin of [LISTED, "https://apps.example:10205"]) {
      const headers: [string, string][] = [["Host", "10.0.0.7:8080"], good, ["Origin", origin]];
      const request = head({ upgrade: true, headers });
      const client = clientOf(request, { trusted: addressMatcher([]), secure: false });
      expect(admit(entry(), request, client, settings())).toEqual([]);
    }
  });

  test.each([
    [[["Origin", "http://evil.example"]], 'got "http://evil.example", wanted http://apps.example:10205 or https://apps.example:10205'], // prettier-ignore
    [[["Origin", "null"], ["Sec-Fetch-Site", "same-site"]], 'got "null" with Sec-Fetch-Site: "same-site", wanted http://apps.example:10205 or https://apps.example:10205'], // prettier-ignore
    [[["Origin", "a secret"], ["Sec-Fetch-Site", "a secret"]], 'got what is no origin with Sec-Fetch-Site: what is none, wanted http://apps.example:10205 or https://apps.example:10205'], // prettier-ignore
    [[["Origin", "http://evil.example/a-secret?b"]], 'got "http://evil.example", wanted http://apps.example:10205 or https://apps.example:10205'], // prettier-ignore
    [[["Sec-Fetch-Site", "cross-site"]], 'got none with Sec-Fetch-Site: "cross-site", wanted http://apps.example:10205 or https://apps.example:10205'], // prettier-ignore
  ] as [[string, string][], string][])("with %p is refused, and the log says what was wanted", (headers, said) => {
    const error = caught(() => enter([good, ...headers], { method: "POST" }));
    expect(reason(error.cause)).toBe(said);
  });

  test("is none without an Origin: a program's", () => {
    expect(enter([good], { method: "POST" })).toEqual([]);
  });

  test("may do everything where the circuit is open to everyone: there is no cookie to abuse", () => {
    const headers: [string, string][] = [["Origin", "http://evil.example"]];
    expect(enter(headers, { method: "POST" }, { open_to_public: true })).toEqual([]);
  });
});

describe("other circuits", () => {
  test.each(["interactive", "inference"] as const)("open to the public need nothing: %s", (mode) => {
    expect(enter([], {}, { open_to_public: true, app_mode: mode })).toEqual([]);
  });

  test("of inference are refused, whatever cookie is shown", async () => {
    const missing = { kind: "invalid-credentials", msg: "E20006: Authorization header not provided" } as const;
    expect(await refusal([good], {}, { app_mode: "inference" })).toEqual(missing);
  });
});

describe("an address list", () => {
  test.each([
    ["203.0.113.7", "203.0.113.0/24"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
  ])("lets %s in by %s, with a permit", async (peer, list) => {
    expect(enter([good], { peer }, { allowed_client_ips: list })).toEqual([]);
    expect(await refusal([], { peer }, { allowed_client_ips: list })).toEqual(ABSENT);
  });

  test.each(["10.0.0.0/8", "203.0.113.7, nonsense"])("keeps out by %p, before anything else is said", async (list) => {
    for (const more of [{}, { open_to_public: true }, { app_mode: "inference" as const }]) {
      expect(await refusal([good], {}, { allowed_client_ips: list, ...more })).toEqual(WRONG_ADDRESS);
    }
  });
});
