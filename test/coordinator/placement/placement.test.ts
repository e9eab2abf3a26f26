/** Which worker carries a new circuit. */
import { describe, expect, test } from "bun:test";
import { place, type PlacementRequest } from "../../../coordinator/placement/placement.ts";
import type { Candidate } from "../../../coordinator/store/workers.ts";
import { PROTOCOLS, type ProxyProtocol } from "../../../shared/protocol/schema/basics.ts";
import { placementProtocol } from "../../../shared/protocol/schema/circuit.ts";
import { FILTER_KEYS } from "../../../shared/protocol/schema/worker.ts";
import { refused } from "../../support/values.ts";

/** A living port worker with ten free ports; its authority is its id. */
function onPorts(id: string, over: Partial<Candidate> = {}): Candidate {
  return {
    id,
    authority: id,
    status: "ALIVE",
    protocol: "http",
    frontendMode: "port",
    acceptedTraffics: ["interactive", "inference"],
    filteredAppsOnly: false,
    filters: [],
    portLow: 100,
    portHigh: 109,
    available: 10,
    occupied: 0,
    ...over,
  };
}
const wildcard = (id: string, over: Partial<Candidate> = {}) =>
  onPorts(id, { frontendMode: "wildcard", portLow: null, portHigh: null, available: -1, ...over });

const wish = (over: Partial<PlacementRequest> = {}): PlacementRequest => ({
  protocol: "http",
  mode: "interactive",
  facts: {},
  port: null,
  ...over,
});
const chosen = (workers: Candidate[], over: Partial<PlacementRequest> = {}) => place(workers, wish(over)).id;
const none = (workers: Candidate[], over: Partial<PlacementRequest> = {}) => refused(() => place(workers, wish(over)));
const FOR_U: Pick<Candidate, "filters"> = { filters: [{ key: "session.user_uuid", value: "u" }] };

describe("a worker is not chosen", () => {
  test.each([
    ["that is lost", onPorts("a", { status: "LOST" })],
    ["that is terminated", onPorts("a", { status: "TERMINATED" })],
    ["of another protocol", onPorts("a", { protocol: "tcp" })],
    ["that takes other traffic", onPorts("a", { acceptedTraffics: ["inference"] })],
    ["without a free port", onPorts("a", { available: 0 })],
    ["that takes only filtered apps", onPorts("a", { filteredAppsOnly: true, ...FOR_U })],
  ])("%s", (_what, unfit) => {
    const busy = onPorts("b", { available: 1 });
    expect([chosen([unfit, busy]), chosen([busy, unfit])]).toEqual(["b", "b"]);
  });

  test("of another transport, also for protocols that ride on one", () => {
    const all = (["http", "grpc", "h2", "tcp"] as const).map((protocol) => onPorts(protocol, { protocol }));
    const rides: Partial<Record<ProxyProtocol, ProxyProtocol>> = { preopen: "http", vnc: "tcp", rdp: "tcp" };
    for (const protocol of PROTOCOLS) {
      expect(chosen(all, { protocol })).toBe(rides[protocol] ?? protocol);
      expect(placementProtocol(protocol)).toBe(rides[protocol] ?? protocol);
    }
  });
});

describe("a filter", () => {
  const facts = { "session.user_uuid": "u" };

  test.each([...FILTER_KEYS])("of %s brings its worker before all others", (key) => {
    const named = onPorts("named", { available: 1, filters: [{ key, value: "x" }] });
    expect(chosen([wildcard("w"), onPorts("p"), named], { facts: { [key]: "x" } })).toBe("named");
    expect(chosen([wildcard("w"), onPorts("p"), named], { facts: { [key]: "y" } })).toBe("w");
  });

  test("brings also a worker that takes only filtered apps", () => {
    expect(chosen([wildcard("w"), onPorts("p", { filteredAppsOnly: true, ...FOR_U })], { facts })).toBe("p");
  });

  test("that matches one of several is enough", () => {
    const filters = [{ key: "session.id", value: "z" }, ...FOR_U.filters];
    expect(chosen([wildcard("w"), onPorts("p", { filters })], { facts })).toBe("p");
  });

  test("of a worker that is not alive brings nobody", () => {
    expect(chosen([onPorts("a", { status: "LOST", ...FOR_U }), onPorts("b")], { facts })).toBe("b");
  });

  test("that names a full worker does not send its app elsewhere", async () => {
    expect(await none([onPorts("a", { available: 0, ...FOR_U }), onPorts("b")], { facts })).toEqual({
      kind: "appproxy/worker-not-available",
      msg: "All ports of the fitting workers are taken",
    });
  });

  test("of a fact that is not known matches nothing", () => {
    const odd = onPorts("odd", {
      filters: [
        { key: "constructor", value: "x" },
        { key: "session.id", value: "" },
      ],
    });
    expect(chosen([odd, wildcard("w")], { facts })).toBe("w");
  });
});

describe("of the fitting workers", () => {
  test("the wildcard one that carries least comes first", () => {
    const workers = [
      onPorts("p"),
      wildcard("w1", { occupied: 3 }),
      wildcard("w2", { occupied: 1 }),
      wildcard("w3", { occupied: 2 }),
    ];
    expect(chosen(workers)).toBe("w2");
  });

  test("then the one with most free ports", () => {
    expect(
      chosen([onPorts("a", { available: 1 }), onPorts("b", { available: 3 }), onPorts("c", { available: 2 })]),
    ).toBe("b");
  });

  test.each([
    ["port", onPorts],
    ["wildcard", wildcard],
  ] as const)("equal ones are taken by name: %s", (_mode, make) => {
    expect([chosen([make("b"), make("a")]), chosen([make("a"), make("b")])]).toEqual(["a", "a"]);
  });

  test("the list of candidates keeps its order", () => {
    const workers = Object.freeze([onPorts("b"), onPorts("a")]);
    place(workers, wish());
    expect(workers.map(({ id }) => id)).toEqual(["b", "a"]);
  });
});

describe("a wanted port", () => {
  const low = onPorts("low", { portLow: 100, portHigh: 109 });
  const high = onPorts("high", { portLow: 200, portHigh: 209, available: 20 });

  test.each([
    [100, "low"],
    [109, "low"],
    [200, "high"],
    [209, "high"],
  ])("%d brings the worker of its range: %s", (port, id) => {
    expect(chosen([low, high, wildcard("w")], { port })).toBe(id);
  });

  test.each([99, 110, 199, 210])("%d that is in no range is 409", async (port) => {
    expect(await none([low, high], { port })).toEqual({
      kind: "appproxy/port-not-available",
      msg: `port: ${port} is in no worker's range; wanted one of 100-109, 200-209`,
    });
  });

  test("of several workers is the one's with most free ports", () => {
    expect(chosen([onPorts("a", { available: 1 }), onPorts("b", { available: 2 })], { port: 105 })).toBe("b");
  });

  test("means nothing where there are only wildcard workers", () => {
    expect(chosen([wildcard("w")], { port: 105 })).toBe("w");
  });
});

describe("when no worker fits, 503 says why", () => {
  test.each([
    ["there is none", [], {}, "No worker is alive"],
    ["all are gone", [onPorts("a", { status: "LOST" })], {}, "No worker is alive"],
    [
      "none speaks it",
      [onPorts("a")],
      { protocol: "vnc" },
      "No living worker carries interactive circuits of protocol tcp",
    ],
    [
      "none takes it",
      [onPorts("a", { acceptedTraffics: ["interactive"] })],
      { mode: "inference" },
      "No living worker carries inference circuits of protocol http",
    ],
    [
      "all take only filtered apps",
      [onPorts("a", { filteredAppsOnly: true })],
      {},
      "The living workers take only filtered apps, and no filter matches this one",
    ],
    ["all are full", [onPorts("a", { available: 0 })], {}, "All ports of the fitting workers are taken"],
  ] as [string, Candidate[], Partial<PlacementRequest>, string][])("%s", async (_why, workers, over, msg) => {
    expect(await none(workers, over)).toEqual({ kind: "appproxy/worker-not-available", msg });
  });
});
