/** The worker's routing table: slots, replacement, and removals that come late. */
import { describe, expect, test } from "bun:test";
import type { Table } from "../../../worker/circuits/table.ts";
import { pick } from "../../../worker/core/pick.ts";
import { circuit, entry, newTable, route, untold } from "../../support/values.ts";

const ID = (n: number) => `0000000${n}-0000-4000-8000-000000000000`;
const onPort = (n: number, port: number) => circuit({ id: ID(n), port });
const named = (n: number, subdomain: string) =>
  circuit({ id: ID(n), port: null, subdomain, frontend_mode: "wildcard" });

/** What a table holds, by id, by port 1 and 2, and by name a and b. */
function shown(table: Table) {
  return {
    size: table.size,
    all: table.all().map(({ circuit: { id } }) => id),
    ports: [table.byPort(1)?.circuit.id, table.byPort(2)?.circuit.id],
    names: [table.bySubdomain("a")?.circuit.id, table.bySubdomain("b")?.circuit.id],
  };
}
const EMPTY = { size: 0, all: [], ports: [undefined, undefined], names: [undefined, undefined] };

describe("a circuit", () => {
  test("is found by id and by its slot", () => {
    const table = newTable();
    expect(shown(table)).toEqual(EMPTY);
    expect([table.put(onPort(1, 1)), table.put(named(2, "B"))]).toEqual([null, null]);
    expect(shown(table)).toEqual({
      size: 2,
      all: [ID(1), ID(2)],
      ports: [ID(1), undefined],
      names: [undefined, ID(2)],
    });
    expect(table.byId(ID(1))?.circuit).toEqual(onPort(1, 1));
    expect(table.byId(ID(3))).toBeUndefined();
  });

  test("is given back when it is removed, and is gone", () => {
    const table = newTable();
    table.put(onPort(1, 1));
    table.put(named(2, "A"));
    expect([table.remove(ID(1)), table.remove(ID(2))]).toEqual([onPort(1, 1), named(2, "A")]);
    expect(shown(table)).toEqual(EMPTY);
    expect(table.remove(ID(1))).toBeNull();
  });

  test("takes its new state, and its pool of routes stays", () => {
    const table = newTable();
    table.put(onPort(1, 1));
    const held = table.byId(ID(1));
    const pool = held?.pool;
    const changed = circuit({
      id: ID(1),
      port: 1,
      route_info: [route({ kernel_port: 9 })],
      allowed_client_ips: "10.0.0.1",
    });
    expect(table.put(changed)).toBeNull();
    expect(table.byPort(1)).toBe(held);
    expect(held?.circuit).toEqual(changed);
    expect([held?.pool === pool, held?.pool.pick()?.route.kernel_port]).toEqual([true, 9]);
    expect(["10.0.0.1", "10.0.0.2"].map((address) => held?.allowed?.(address))).toEqual([true, false]);
  });

  test("that moves leaves its old slot", () => {
    const table = newTable();
    table.put(onPort(1, 1));
    table.put(onPort(1, 2));
    expect(shown(table)).toEqual({ size: 1, all: [ID(1)], ports: [undefined, ID(1)], names: [undefined, undefined] });
    table.put(named(1, "a"));
    expect(shown(table)).toEqual({ size: 1, all: [ID(1)], ports: [undefined, undefined], names: [ID(1), undefined] });
  });
});

describe("a slot that is taken over", () => {
  test.each([
    ["a port", onPort(1, 1), onPort(2, 1)],
    ["a name, in any case", named(1, "a"), named(2, "A")],
  ])("gives who held it, who is gone: %s", (_what, first, second) => {
    const table = newTable();
    table.put(first);
    expect(table.put(second)).toEqual(first);
    expect(table.all().map(({ circuit: one }) => one)).toEqual([second]);
  });

  test("by a circuit that was elsewhere before", () => {
    const table = newTable();
    table.put(onPort(1, 1));
    table.put(onPort(2, 2));
    expect(table.put(onPort(2, 1))).toEqual(onPort(1, 1));
    expect(shown(table)).toEqual({ size: 1, all: [ID(2)], ports: [ID(2), undefined], names: [undefined, undefined] });
  });

  test("is not touched by the late removal of who held it", () => {
    const table = newTable();
    table.put(onPort(1, 1));
    table.put(onPort(2, 1));
    expect(table.remove(ID(1))).toBeNull();
    expect(table.byPort(1)?.circuit.id).toBe(ID(2));
  });
});

test("the first digits of ids are known for as long as a circuit has them, with what is open over it", () => {
  const table = newTable();
  const [one, twin] = ["a", "b"].map((end, at) => ({ ...onPort(at + 1, at + 1), id: `abcdef01-0000-4000-8000-00000000000${end}` })); // prettier-ignore
  if (one === undefined || twin === undefined) throw new Error("there are two");
  const asked = () => [...table.beginning(new Set(["abcdef01", "00000000"]))];
  table.put(one);
  table.put(twin);
  table.put({ ...twin, app: "another" });
  expect(asked()).toEqual([["abcdef01", false]]);
  const open = pick(table.byId(twin.id) ?? entry(), untold, "connection");
  expect(asked()).toEqual([["abcdef01", true]]);
  open.release();
  table.remove(one.id);
  expect(asked()).toEqual([["abcdef01", false]]);
  table.remove(twin.id);
  expect(asked()).toEqual([]);
});

describe("an address list", () => {
  test("that is not given lets everyone in", () => {
    expect(entry().allowed).toBeNull();
  });

  test.each([
    ["10.0.0.0/8, 2001:db8::1", [true, true, false]],
    ["10.0.0.0/8, nonsense", [false, false, false]],
  ])("is compiled once per circuit: %s", (list, expected) => {
    const { allowed } = entry({ allowed_client_ips: list });
    expect(["::ffff:10.1.1.1", "2001:db8::1", "203.0.113.7"].map((address) => allowed?.(address))).toEqual(expected);
  });

  test("that is taken away lets everyone in again", () => {
    const table = newTable();
    table.put(circuit({ allowed_client_ips: "10.0.0.1" }));
    table.put(circuit());
    expect(table.all().map(({ allowed }) => allowed)).toEqual([null]);
  });
});
