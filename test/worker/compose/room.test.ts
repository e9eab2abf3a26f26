/** How many connections a worker has room for: configured, or by its files. */
import { expect, test } from "bun:test";
import { ConfigError } from "../../../shared/config/load.ts";
import { connectionLimits } from "../../../worker/compose/room.ts";

const FILES = { limit: 1024, keptBack: 224, forConnections: 801 };
const NONE = {
  connections: 0,
  address_connections: 0,
  circuit_connections: 0,
  session_connections: 0,
  user_connections: 0,
};

const OWN = {
  connections: 100,
  address_connections: 7,
  circuit_connections: 90,
  session_connections: 70,
  user_connections: 81,
};

const room = (connections: number, ofAddress: number, ofCircuit: number, session = ofCircuit, user = ofCircuit) => {
  return { connections, ofAddress, ofCircuit, ofHolder: { session, user } };
};

test("without a word: half of the files, of which a circuit, a session and a person have half; an address 1,000", () => {
  expect(connectionLimits(NONE, FILES)).toEqual(room(400, 1000, 200));
  const smallest = { limit: 4, keptBack: 2, forConnections: 2 };
  expect(connectionLimits(NONE, smallest)).toEqual(room(1, 1000, 1));
});

test("each of several processes takes its share of what is for the whole worker, and all of its own files", () => {
  const lane = { number: 2, count: 2 };
  expect(connectionLimits(OWN, FILES, lane)).toEqual(room(50, 4, 45, 35, 41));
  expect(connectionLimits(NONE, FILES, lane)).toEqual(room(400, 500, 200));
});

test("what is configured counts, as far as there are files", () => {
  expect(connectionLimits(OWN, FILES)).toEqual(room(100, 7, 90, 70, 81));
  expect(connectionLimits({ ...NONE, connections: 400 }, FILES).connections).toBe(400);
  const fault =
    "proxy_worker.limits.connections: 401 was given; wanted at most 400: the process may open 1024 files, of which 224 are kept back, and a connection needs 2 (LimitNOFILE, ulimit -n)";
  expect(() => connectionLimits({ ...NONE, connections: 401 }, FILES)).toThrow(ConfigError);
  expect(() => connectionLimits({ ...NONE, connections: 401 }, FILES)).toThrow(fault);
});
