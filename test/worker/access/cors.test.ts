/** Whose pages may call a circuit with the person's cookies. */
import { describe, expect, test } from "bun:test";
import { corsLines, createListed, policyLines } from "../../../worker/access/cors.ts";
import type { Circuit } from "../../../shared/protocol/schema/circuit.ts";
import type { Entry } from "../../../worker/circuits/table.ts";
import { circuit, entry, head, newTable, USER } from "../../support/values.ts";

const OTHER_USER = "2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2aff";
const A = "http://apps.example:10205";
const B = "http://apps.example:10206";
const PORTAL = "https://portal.example";

/** A circuit A that lists B, another one at B's port, and who may call A then. */
function site(holder: string | null, domain: string | null = null, lists = B) {
  const table = newTable();
  table.put(circuit({ allowed_origins: lists }));
  const slot = domain === null ? { port: 10206 } : { port: null, subdomain: "b", frontend_mode: "wildcard" as const };
  if (holder !== null) table.put(circuit({ id: "c2c2c2c2-0000-4000-8000-000000000001", user_id: holder, ...slot }));
  const origin = ({ circuit: { port, subdomain } }: Entry) =>
    port === null ? `http://${subdomain}${domain}` : `http://apps.example:${port}`;
  const listed = createListed({ table, everywhere: [PORTAL], domain, origin });
  const found = table.byPort(10205);
  if (found === undefined) throw new Error("no circuit");
  return (from: string) => listed(found, from);
}

/** What answers get that no listed page has asked for. */
function varying() {
  const rules = (everywhere: string[]) =>
    createListed({ table: newTable(), everywhere, domain: null, origin: () => A });
  const asked = head({ headers: [["Origin", "https://stranger.example"]] });
  return {
    lines: (everywhere: string[]) => corsLines(entry(), asked, rules(everywhere)),
    bare: corsLines(entry({ allowed_origins: B }), asked, rules([])),
  };
}

test("answers vary with Origin where some origin may read them, and not elsewhere", () => {
  const { lines, bare } = varying();
  expect([lines([PORTAL]), lines([]), bare]).toEqual([[["Vary", "Origin"]], [], [["Vary", "Origin"]]]);
});

describe("answers of an app", () => {
  const POLICY: [string, string][] = [["Cross-Origin-Resource-Policy", "same-origin"]];
  const policy = (over: Partial<Circuit>, everywhere: string[] = [], headers: [string, string][] = [["Sec-Fetch-Site", "same-origin"]]) =>
    policyLines(entry(over), head({ headers }), createListed({ table: newTable(), everywhere, domain: null, origin: () => A })); // prettier-ignore

  test("are for its own pages alone", () => {
    expect(policy({})).toEqual(POLICY);
  });

  test("are for anybody's where no permit is asked for, where other pages may call it, and for programs", () => {
    const open = [policy({ open_to_public: true }), policy({ app_mode: "inference" }), policy({ allowed_origins: B })];
    expect([...open, policy({}, [PORTAL]), policy({}, [], [])]).toEqual([[], [], [], [], []]);
  });
});

describe("a circuit's list", () => {
  test("names origins exactly, beside those of the configuration", () => {
    const may = site(USER);
    expect([B, PORTAL, A, "http://apps.example", "http://APPS.example:10206", "null", "nonsense"].map(may)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });

  test("does not name another person's slot whose port is the scheme's own", () => {
    const at = (port: number, origin: string) => {
      const table = newTable();
      table.put(circuit({ allowed_origins: origin }));
      table.put(circuit({ id: "c2c2c2c2-0000-4000-8000-000000000001", user_id: OTHER_USER, port }));
      const listed = createListed({ table, everywhere: [], domain: null, origin: (one) => one.circuit.port === port ? origin : A }); // prettier-ignore
      const found = table.byPort(10205);
      return found !== undefined && listed(found, origin);
    };
    expect([at(443, "https://apps.example"), at(80, "http://apps.example")]).toEqual([false, false]);
  });

  test("does not name what another person has at that port or name by now: slots are used again", () => {
    expect([site(USER)(B), site(null)(B), site(OTHER_USER)(B)]).toEqual([true, true, false]);
    const named = "http://b.apps.example";
    const wildcard = (holder: string | null) => site(holder, ".apps.example", named)(named);
    expect([wildcard(USER), wildcard(null), wildcard(OTHER_USER)]).toEqual([true, true, false]);
  });
});
