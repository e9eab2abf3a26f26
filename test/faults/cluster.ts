/**
 * The cluster under test: a coordinator, a Redis of its own, and two workers with two nodes each, all real processes with
 * addresses of their own on loopback. Its profile says how quickly it takes somebody for lost and how apps are reached.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { coordinatorToml, workerToml } from "../support/toml.ts";
import { freePort, freeRange } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { createDisk, type Disk } from "./disk.ts";
import { createMachine, type Machine } from "./machine.ts";
import type { Random } from "./random.ts";

export interface Profile {
  /** `default`: the times of production. `short`: workers are soon lost, and come back. */
  times: "default" | "short";
  /** How worker B's circuits are reached; A's are reached at a port each. */
  shape: "port" | "wildcard";
}

/** One of the processes that serve a worker's circuits. */
export interface Node {
  machine: Machine;
  authority: Authority;
  host: string;
  /** Base URL of its own API. */
  api: string;
}

export const AUTHORITIES = ["A", "B"] as const;
export type Authority = (typeof AUTHORITIES)[number];

export interface Cluster {
  profile: Profile;
  directory: string;
  redis: RedisServer;
  coordinator: Machine;
  /** Where the coordinator's API is. */
  baseUrl: string;
  nodes: Node[];
  /** Ports of each worker's circuits, both included; the two workers have the same. */
  ports: [low: number, high: number];
  /** Where wildcard traffic comes in, at each node of B. */
  wildcardPort: number;
  disk: Disk;
  database: string;
  stop(): Promise<void>;
}

/** So few that a port is soon another tenant's. */
const PORTS = 10;
export const WILDCARD_DOMAIN = ".apps.test";

const SHORT = {
  coordinator: { worker_heartbeat_timeout: 3, circuit_ack_timeout: 3 },
  worker: { heartbeat_period: 1 },
};
/** `workerToml` has short times of its own. */
const DEFAULT = { coordinator: {}, worker: { heartbeat_period: 10 } };

export async function startCluster(profile: Profile, random: Random): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-faults-"));
  const redis = await startRedis();
  const disk = createDisk(join(directory, "disk"));
  const database = join(disk.path, "db.sqlite3");
  // Loopback is a whole /8: each cluster has a corner of its own, whatever else runs on the machine.
  const corner = `127.${random.between(1, 254)}.${process.pid % 255}`;
  const times = profile.times === "short" ? SHORT : DEFAULT;
  const [port, wildcardPort, low] = [await freePort(), await freePort(), await freeRange(PORTS + 1)];
  const baseUrl = `http://${corner}.1:${port}`;

  const file = join(directory, "coordinator.toml");
  writeFileSync(
    file,
    coordinatorToml(database, {
      redisPort: redis.port,
      coordinator: { bind_addr: `${corner}.1:${port}`, ...times.coordinator },
    }),
  );
  const coordinator = createMachine("coordinator", "test/faults/coordinator.ts", ["--config", file], directory);

  function createNode(authority: Authority, at: number): Node {
    const first = `${corner}.${authority === "A" ? 2 : 4}`;
    const host = `${corner}.${(authority === "A" ? 2 : 4) + at}`;
    const name = `${authority}${at + 1}`;
    const apiPort = low + PORTS;
    const file = join(directory, `${name}.toml`);
    const isWildcard = authority === "B" && profile.shape === "wildcard";
    const settings = {
      redisPort: redis.port,
      worker: {
        authority,
        api_bind_addr: `${host}:${apiPort}`,
        // Both nodes are one worker to the coordinator: behind one address, which is the first one's here.
        api_advertised_addr: `${first}:${apiPort}`,
        app_filters: [{ key: "session.domain_name", value: authority }],
        port_proxy: { bind_host: host, advertised_host: first, bind_port_range: [low, low + PORTS - 1] },
        ...(isWildcard
          ? {
              frontend_mode: "wildcard",
              wildcard_domain: { domain: WILDCARD_DOMAIN, bind_addr: `${host}:${wildcardPort}` },
            }
          : {}),
        ...times.worker,
      },
    };
    writeFileSync(file, workerToml(baseUrl, low, PORTS, settings));
    const machine = createMachine(name, "test/faults/worker.ts", ["--config", file], directory);
    return { machine, authority, host, api: `http://${host}:${apiPort}` };
  }

  const nodes = AUTHORITIES.flatMap((authority) => [createNode(authority, 0), createNode(authority, 1)]);
  const cluster: Cluster = {
    profile,
    directory,
    redis,
    coordinator,
    baseUrl,
    nodes,
    ports: [low, low + PORTS - 1],
    wildcardPort,
    disk,
    database,
    async stop() {
      await Promise.all([coordinator, ...nodes.map(({ machine }) => machine)].map((machine) => machine.kill()));
      await redis.stop();
      disk.stop();
    },
  };
  try {
    for (const machine of [coordinator, ...nodes.map((node) => node.machine)]) machine.start();
    await until(() => isUp(cluster), 120_000, "the cluster is up");
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

/** Removes what a cluster leaves behind: its logs. */
export function forget({ directory }: Cluster): void {
  rmSync(directory, { recursive: true, force: true });
}

// --- internal ---

async function isUp({ nodes, coordinator }: Cluster): Promise<boolean> {
  const answers = await Promise.all(
    nodes.map(({ api }) =>
      fetch(`${api}/health`)
        .then((answer) => answer.json() as Promise<{ status: string }>)
        .catch(() => null),
    ),
  );
  void coordinator;
  return answers.every((answer) => answer?.status === "ok");
}
