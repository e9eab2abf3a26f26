/** Which kernel gets the next request. */
import { describe, expect, test } from "bun:test";
import { pick } from "../../../worker/core/pick.ts";
import { entry, refused, route, untold } from "../../support/values.ts";

/** The kernel ports that `count` requests in a row go to. */
function ports(from: ReturnType<typeof entry>, count: number): number[] {
  return Array.from({ length: count }, () => pick(from, untold, "request").target.port);
}
const routes = (...ratios: number[]) => ratios.map((ratio, at) => route({ kernel_port: at + 1, traffic_ratio: ratio }));

describe("requests", () => {
  test("all go to the only route", () => {
    expect(ports(entry({ route_info: routes(1) }), 3)).toEqual([1, 1, 1]);
  });

  test("take turns among equal routes", () => {
    expect(ports(entry({ route_info: routes(1, 1, 1) }), 6)).toEqual([1, 2, 3, 1, 2, 3]);
  });

  test("never go to a route that gets no traffic", () => {
    expect(ports(entry({ route_info: routes(0, 1, 0, 1) }), 4)).toEqual([2, 4, 2, 4]);
  });

  test("of one circuit do not move another's turn", () => {
    const [one, other] = [entry({ route_info: routes(1, 1) }), entry({ route_info: routes(1, 1) })];
    ports(one, 1);
    expect([ports(other, 1), ports(one, 1)]).toEqual([[1], [2]]);
  });

  test("go on in turn when the routes have become fewer", () => {
    const circuit = entry({ route_info: routes(1, 1, 1) });
    ports(circuit, 2);
    circuit.pool.set(routes(1, 1), 0);
    expect(ports(circuit, 2)).toEqual([1, 2]);
  });
});

describe("without a route that gets traffic", () => {
  test.each([
    ["none at all", []],
    ["one without traffic", routes(0)],
    ["several without traffic", routes(0, 0)],
  ])("%s: 503", async (_what, all) => {
    const failure = await refused(() => pick(entry({ route_info: all }), untold, "request"));
    expect(failure).toEqual({ kind: "service-unavailable", msg: "No kernel serves this app" });
  });

  test("the next one that comes is used", async () => {
    const circuit = entry({ route_info: [] });
    await refused(() => pick(circuit, untold, "request"));
    circuit.pool.set(routes(1, 1), 0);
    expect(ports(circuit, 2).toSorted()).toEqual([1, 2]);
  });
});
