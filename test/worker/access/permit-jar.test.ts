/** Permits that pile up in a browser: which of them an answer expires. */
import { describe, expect, test } from "bun:test";
import { createPermitJar, MAX_PERMITS } from "../../../worker/access/permit-jar.ts";
import { PermitAuthority } from "../../../worker/access/permit.ts";
import { circuit, newTable, USER } from "../../support/values.ts";

const NOW = 1_800_000_000;
const LIFETIME = 43_200;
const SECRET = { secret: "a-permit-secret-0123456789", previous_secrets: [], digest_mod: "sha256" };
const worker = (authority: string, compact = true) => new PermitAuthority(SECRET, { authority, compact });
const [mine, theirs, older] = [worker("worker-1"), worker("worker-2"), worker("worker-1", false)];

const idOf = (n: number) => `${n.toString(16).padStart(8, "0")}-0000-4000-8000-000000000001`;
const nameOf = (n: number) => `appproxy_permit_${idOf(n).slice(0, 8)}`;
const KEPT = nameOf(0xffffffff);
/** A permit of the numbered circuit, issued `age` seconds ago. */
const held = (n: number, age: number, by = mine) => `${nameOf(n)}=${by.issue(USER, idOf(n), NOW - age, LIFETIME)}`;

/** What goes of these cookies at a worker with these circuits; those of `busy` have a connection open. */
function gone(cookies: string[], circuits: number[] = [], busy: number[] = [], complete = true): string[] {
  const table = newTable({ now: () => NOW * 1000 });
  circuits.forEach((n, at) => table.put(circuit({ id: idOf(n), port: 20_000 + at })));
  for (const n of busy)
    table
      .byId(idOf(n))
      ?.pool.pick()
      ?.carried.add({ close: () => undefined, drain: undefined });
  const jar = createPermitJar({
    permits: mine,
    table,
    cookie: { secure: false, sameSite: "lax" },
    complete: () => complete,
    now: () => NOW * 1000,
  });
  return jar.tidy(cookies.join("; "), KEPT).map(([name, line]) => {
    expect([name, line]).toEqual(["Set-Cookie", expect.stringMatching(/^[^=]+=; Path=\/; Max-Age=0; HttpOnly; SameSite=Lax/)]); // prettier-ignore
    return line.slice(0, line.indexOf("="));
  });
}

describe("a permit goes", () => {
  test("when its circuit is gone", () => {
    expect(gone([held(1, 61), held(2, 61)], [2])).toEqual([nameOf(1)]);
  });

  test("not when another worker issued it, which alone knows its circuits", () => {
    expect(gone([held(1, 61, theirs)])).toEqual([]);
  });

  test("not in its first minute: the circuit may be known to another node only", () => {
    expect(gone([held(1, 60)])).toEqual([]);
  });

  test("not while this worker can't know all its circuits", () => {
    expect(gone([held(1, 61)], [], [], false)).toEqual([]);
  });

  test("not when it is of the earlier form, which does not say whose it is", () => {
    expect(gone([held(1, 61, older)])).toEqual([]);
  });

  test("when it has expired, whoever issued it", () => {
    expect(gone([held(1, LIFETIME, theirs), held(2, LIFETIME, older)])).toEqual([nameOf(1), nameOf(2)]);
  });

  test("never when it is the one that is set, nor the compatible one, nor an app's cookie", () => {
    expect(gone([`${KEPT}=x`, "appproxy_permit=bm9uZQ==", "theme=dark", "x_appproxy_permit_00000001=1"])).toEqual([]);
  });
});

describe("of more than 24 permits", () => {
  const many = (count: number, by: (n: number) => PermitAuthority = () => mine) =>
    Array.from({ length: count }, (_, n) => held(n, 1000 + n, by(n)));
  const all = Array.from({ length: 40 }, (_, n) => n);

  test("the longest unused go, and with the new one 24 stay", () => {
    expect(gone(many(23), all)).toEqual([]);
    expect(gone(many(40), all).toSorted()).toEqual(
      all
        .slice(MAX_PERMITS - 1)
        .map(nameOf)
        .toSorted(),
    );
  });

  test("one stays over whose circuit something is open, however long ago it was renewed", () => {
    expect(gone(many(24), all, [23])).toEqual([nameOf(22)]);
  });

  test("the limit is the host's: with two workers the longest unused goes, wherever it leads", () => {
    expect(
      gone(
        many(24, (n) => (n === 23 ? theirs : mine)),
        all,
      ),
    ).toEqual([nameOf(23)]);
    expect(
      gone(
        many(24, (n) => (n === 23 ? mine : theirs)),
        all,
      ),
    ).toEqual([nameOf(23)]);
  });

  test("those of the earlier form count, and what can't be read goes first", () => {
    expect(
      gone(
        many(24, () => older),
        all,
      ),
    ).toEqual([nameOf(23)]);
    expect(gone([...many(23), `${nameOf(30)}=v9.unknown`], all)).toEqual([nameOf(30)]);
  });
});

describe("what an app of the host has put there, which can write any cookie but HttpOnly ones", () => {
  const all = Array.from({ length: 23 }, (_, n) => n);
  const real = all.map((n) => held(n, 1000 + n));

  test("does not outlive permits by claiming to be of the future", () => {
    const forged = Array.from({ length: 30 }, (_, n) => held(1000 + n, -100_000, theirs));
    expect(gone([...forged, ...real], all).toSorted()).toEqual(forged.map((one) => one.split("=")[0] ?? "").toSorted());
  });

  test("does not stand before a permit over whose circuit something is open", () => {
    const forged = Array.from({ length: 30 }, (_, n) => held(1000 + n, 0, theirs));
    expect(gone([...forged, ...real], all, [22])).not.toContain(nameOf(22));
  });

  test("does not take a permit with it by having its name, with another path", () => {
    const same = all.flatMap((n) => [`${nameOf(n)}=v9.unknown`, held(n, LIFETIME + 1)]);
    expect([gone([...same, ...real], all), gone([...real, ...same], all)]).toEqual([[], []]);
  });
});

test("under TLS a permit is expired with what its name demands; one of a worker without TLS goes too", () => {
  const jar = createPermitJar({ permits: mine, table: newTable(), cookie: { secure: true, sameSite: "lax" }, complete: () => true, now: () => NOW * 1000 }); // prettier-ignore
  const lines = jar.tidy(`__Host-${held(1, 61)}; ${held(2, 61)}`, KEPT).map(([, line]) => line);
  const rest = "Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure";
  expect(lines).toEqual([`__Host-${nameOf(1)}=; ${rest}`, `${nameOf(2)}=; ${rest}`]);
});

test("without cookies of ours nothing is looked at", () => {
  const table = { beginning: (): Map<string, boolean> => expect.unreachable() };
  const jar = createPermitJar({
    permits: mine,
    table,
    cookie: { secure: false, sameSite: "lax" },
    complete: () => true,
    now: () => NOW * 1000,
  });
  expect([jar.tidy(null, KEPT), jar.tidy("a=1; b=2", KEPT)]).toEqual([[], []]);
});
