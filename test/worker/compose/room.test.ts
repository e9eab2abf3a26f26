/** How many connections a worker has room for: configured, or by its files. */
import { expect, test } from "bun:test";
import { ConfigError } from "../../../shared/config/load.ts";
import { connectionLimits } from "../../../worker/compose/room.ts";

const FILES = { limit: 1024, keptBack: 224, forConnections: 801 };
const NONE = { connections: 0, address_connections: 0, circuit_connections: 0 };

test("without a word: half of the files, of which a circuit has half; an address 1,000", () => {
  expect(connectionLimits(NONE, FILES)).toEqual({ connections: 400, ofAddress: 1000, ofCircuit: 200 });
  const smallest = { limit: 4, keptBack: 2, forConnections: 2 };
  expect(connectionLimits(NONE, smallest)).toEqual({ connections: 1, ofAddress: 1000, ofCircuit: 1 });
});

test("each of several processes takes its share of what is for the whole worker, and all of its own files", () => {
  const own = { connections: 100, address_connections: 7, circuit_connections: 90 };
  const lane = { number: 2, count: 2 };
  expect(connectionLimits(own, FILES, lane)).toEqual({ connections: 50, ofAddress: 4, ofCircuit: 45 });
  expect(connectionLimits(NONE, FILES, lane)).toEqual({ connections: 400, ofAddress: 500, ofCircuit: 200 });
});

test("what is configured counts, as far as there are files", () => {
  const own = { connections: 100, address_connections: 7, circuit_connections: 90 };
  expect(connectionLimits(own, FILES)).toEqual({ connections: 100, ofAddress: 7, ofCircuit: 90 });
  expect(connectionLimits({ ...NONE, connections: 400 }, FILES).connections).toBe(400);
  const fault =
    "proxy_worker.limits.connections: 401 was given; wanted at most 400: the process may open 1024 files, of which 224 are kept back, and a connection needs 2 (LimitNOFILE, ulimit -n)";
  expect(() => connectionLimits({ ...NONE, connections: 401 }, FILES)).toThrow(ConfigError);
  expect(() => connectionLimits({ ...NONE, connections: 401 }, FILES)).toThrow(fault);
});
