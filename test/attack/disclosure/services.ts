/**
 * The services with a secret of its own under every key of their files that holds one, at the level of the log that tells most, and
 * a real Redis with a password: a coordinator, and three workers of which one is under its supervisor.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "smol-toml";
import { COORDINATOR_ENV, coordinatorTable } from "../../../coordinator/config.ts";
import { keysOf } from "../../../shared/config/load.ts";
import { isRecord } from "../../../shared/values.ts";
import { WORKER_ENV } from "../../../worker/config.ts";
import { workerTable } from "../../../worker/config/table.ts";
import { startCertificates, type Certificates } from "../../support/certificates.ts";
import { startOutside, type Outside } from "../../support/outside.ts";
import { freePort, freeRange } from "../../support/ports.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { ROOT } from "../../support/spawned.ts";
import { coordinatorToml, workerToml } from "../../support/toml.ts";
import { until } from "../../support/until.ts";
import { redisCall } from "./redis.ts";
import type { Secrets } from "./secrets.ts";
import { workerSecret } from "../../../shared/protocol/worker-secret.ts";

/** Where the one that is trusted to tell other addresses comes from. */
export const PROXIES = "127.8.0.0/16";
export const DOMAIN = ".apps.example";
/** Whose sessions go to which worker, by the user's id. */
export const USERS = {
  port: "11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
  wildcard: "22222222-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
  tcp: "33333333-cccc-4ccc-8ccc-cccccccccccc",
} as const;
export type Kind = keyof typeof USERS;

export interface Service {
  name: string;
  process: Outside;
  /** All that it has written, whatever the stream. */
  written: () => string;
}

export interface Worker extends Service {
  apiPort: number;
  /** Where the circuits of names are. */
  trafficPort: number;
  tls: boolean;
  snapshots: string;
}

const DATABASE = "db.sqlite3";
const PORTS = 32;
const START_MS = 60_000;
const SECRET_KEYS = [...keysOf(coordinatorTable, COORDINATOR_ENV), ...keysOf(workerTable, WORKER_ENV)].filter(
  ({ field }) => field.secret,
);

export class Services {
  readonly #stack = new AsyncDisposableStack();
  readonly #values = new Map<string, string>();
  readonly directory = mkdtempSync(join(tmpdir(), "app-proxy-disclosure-"));
  readonly secrets: Secrets;
  readonly port: number;
  readonly redis: RedisServer;
  readonly certificates: Certificates;
  readonly all: Service[] = [];
  readonly workers = {} as Record<Kind, Worker>;

  private constructor(secrets: Secrets, redis: RedisServer, port: number) {
    this.secrets = secrets;
    this.redis = redis;
    this.port = port;
    this.certificates = startCertificates("apps.example");
    for (const { key } of SECRET_KEYS)
      if (!this.#values.has(key)) this.#values.set(key, secrets.mark(`${key} of the files`));
  }

  static async start(engine: string, secrets: Secrets): Promise<Services> {
    const services = new Services(secrets, await startRedis(), await freePort());
    services.defer(() => rmSync(services.directory, { recursive: true, force: true }));
    services.defer(() => services.certificates.remove());
    services.defer(() => services.redis.stop());
    await services.setPassword(services.secret("redis.password"));
    await services.#startCoordinator();
    await Promise.all([
      services.#startWorker("port", { engine, ...(engine === "sockets" ? { accept_proxy_protocol: true } : {}) }),
      services.#startWorker("wildcard", { engine, ...services.#wildcard(await freePort()) }),
      services.#startWorker("tcp", { protocol: "tcp", accept_proxy_protocol: true }),
    ]);
    return services;
  }

  /** What stands in the files under a dotted key. */
  secret(key: string): string {
    const value = this.#values.get(key);
    if (value === undefined) throw new Error(`${key} is no key for a secret`);
    return value;
  }

  get secretKeys(): string[] {
    return [...this.#values.keys()];
  }

  /** Changes what Redis asks for; the services' connections are cut, and come again with what they have. */
  async setPassword(password: string): Promise<void> {
    await redisCall(this.redis.port, this.#password, ["CONFIG", "SET", "requirepass", password]);
    this.#password = password;
    await redisCall(this.redis.port, password, ["CLIENT", "KILL", "TYPE", "normal"]);
    await redisCall(this.redis.port, password, ["CLIENT", "KILL", "TYPE", "pubsub"]);
  }

  get password(): string {
    return this.#password;
  }

  #password = "";

  defer(step: () => unknown): void {
    this.#stack.defer(async () => void (await step()));
  }

  /** What is in the coordinator's database, as its files have it. */
  database(): string {
    const files = readdirSync(this.directory).filter((file) => file.startsWith(DATABASE));
    return files.map((file) => readFileSync(join(this.directory, file), "latin1")).join("\n");
  }

  /** Ends the services in order, so that they say all that they have to say; the coordinator first, and the others say that too. */
  async end(): Promise<void> {
    const end = ({ process }: Service) => (process.kill("SIGTERM"), process.exited);
    const workers = this.all.filter(({ name }) => name !== "coordinator");
    await Promise.all(this.all.filter(({ name }) => name === "coordinator").map(end));
    await Promise.all(workers.map((worker) => until(() => worker.written().includes("serving the last known circuits"), START_MS, `${worker.name} says that it is alone`))); // prettier-ignore
    await Promise.all(workers.map(end));
  }

  stop(): Promise<void> {
    return this.#stack.disposeAsync();
  }

  // --- internal ---

  async #startCoordinator(): Promise<void> {
    const coordinator = { bind_addr: `127.0.0.1:${this.port}` };
    const toml = coordinatorToml(join(this.directory, DATABASE), { redisPort: this.redis.port, coordinator });
    const service = this.#spawn("coordinator", "coordinator/main.ts", toml);
    await says(service, "coordinator is up");
  }

  #wildcard(port: number): Record<string, unknown> {
    const { cert, key } = this.certificates;
    const tls = { tls_listen: true, tls_cert: cert, tls_privkey: key };
    return { frontend_mode: "wildcard", wildcard_domain: { domain: DOMAIN, bind_addr: `127.0.0.1:${port}` }, ...tls };
  }

  async #startWorker(kind: Kind, settings: Record<string, unknown>): Promise<void> {
    const [apiPort, low] = [await freePort(), await freeRange(PORTS)];
    const snapshots = join(this.directory, kind);
    mkdirSync(snapshots);
    const worker = {
      authority: `worker-${kind}`,
      api_bind_addr: `127.0.0.1:${apiPort}`,
      accepted_traffics: ["interactive", "inference"],
      app_filters: [{ key: "session.user_uuid", value: USERS[kind] }],
      filtered_apps_only: true,
      trusted_proxies: [PROXIES],
      snapshot_dir: snapshots,
      ...settings,
    };
    const permit = { accept_legacy: true };
    // Where the coordinator is behind a proxy that asks for a password.
    const me = `me:${this.secrets.mark("a password in coordinator_endpoint")}@`;
    const toml = workerToml(`http://${kind === "tcp" ? me : ""}127.0.0.1:${this.port}`, low, PORTS, {
      redisPort: this.redis.port,
      worker,
      permit,
    });
    const file = kind === "port" ? "worker/supervise.ts" : "worker/main.ts";
    const service = this.#spawn(`worker-${kind}`, file, toml);
    const traffic = settings["wildcard_domain"];
    const trafficPort = isRecord(traffic) ? Number(String(traffic["bind_addr"]).split(":")[1]) : 0;
    this.workers[kind] = { ...service, apiPort, trafficPort, tls: settings["tls_listen"] === true, snapshots };
    await says(service, "circuits are known");
  }

  #spawn(name: string, program: string, toml: string): Service {
    const file = join(this.directory, `${name}.toml`);
    writeFileSync(file, this.#withSecrets(toml, name === "coordinator" ? COORDINATOR_ENV : WORKER_ENV));
    const parts: string[] = [];
    const process = startOutside([globalThis.process.execPath, join(ROOT, program), "--config", file], {
      cwd: this.directory,
      read: (_, text) => void parts.push(text ?? ""),
    });
    this.defer(() => (process.kill("SIGKILL"), process.exited));
    const service = { name, process, written: () => parts.join("") };
    this.all.push(service);
    return service;
  }

  /** A worker's own secret is made of one of its coordinator's, and of its name. */
  #valueFor(key: string, file: Record<string, unknown>): string {
    const root = this.secret(key);
    const { proxy_worker: worker } = file;
    if (!key.endsWith("worker_secret") && !key.endsWith("worker_secrets")) return root;
    if (!isRecord(worker)) return root;
    const own = workerSecret(root, String(worker["authority"]));
    // Its name stands before what is secret of it.
    this.secrets.real(`${key} of a worker's own`, own.slice(own.lastIndexOf(".") + 1));
    return own;
  }

  #withSecrets(toml: string, prefix: string): string {
    const file: Record<string, unknown> = parse(toml);
    for (const { key, env, field } of SECRET_KEYS) {
      if (!env.startsWith(`${prefix}__`)) continue;
      const [section = "", name = ""] = key.split(".");
      const value = this.#valueFor(key, file);
      file[section] = { ...(isRecord(file[section]) ? file[section] : {}), [name]: Array.isArray(field.fallback) ? [value] : value }; // prettier-ignore
    }
    return stringify({ ...file, logging: { level: "trace" } });
  }
}

/** Names and values of the environment, the command line and the title of a process and of all that it has started. */
export function processTexts({ process: { pid } }: Service): string {
  const read = (one: number, file: string) => {
    try {
      return readFileSync(`/proc/${one}/${file}`, "latin1");
    } catch {
      return ""; // it has ended
    }
  };
  const family = [pid];
  // What is added while it is walked is walked too.
  for (const one of family)
    for (const child of read(one, `task/${one}/children`).split(" ")) if (child !== "") family.push(Number(child));
  return family.flatMap((one) => ["cmdline", "environ", "comm"].map((file) => read(one, file))).join("\n");
}

// --- internal ---

function says({ name, process, written }: Service, msg: string): Promise<unknown> {
  return until(
    () => {
      if (process.exitCode !== null)
        throw new Error(`${name} ended with ${process.exitCode}: ${written().slice(-2000)}`);
      return written().includes(`"msg":"${msg}"`);
    },
    START_MS,
    `${name} says "${msg}"`,
  );
}
