/**
 * Connections to Redis by address or by Sentinel. Every connection reconnects for ever, to the master, and never queues
 * without bound. What is sent over them is not known here.
 */
import type { ConnectionOptions } from "node:tls";
import { Redis, SentinelConnector, type RedisOptions } from "ioredis";
import type { Address } from "../values.ts";
import { reason } from "../failure.ts";
import type { Log } from "../runtime/log.ts";
import { keyToBlame, tlsFault, tlsOf, type TlsSettings } from "./tls.ts";

export interface RedisSettings extends TlsSettings {
  addr: Address;
  sentinel: Address[] | null;
  service_name: string;
  username?: string;
  password: string;
  sentinel_username?: string;
  sentinel_password?: string;
  /** Of the configuration, for the log; `[redis]` unless it says another. */
  section?: string;
}

/** Opens a connection; `role` names it in the log. Commands fail at once while it is down. */
export function connectRedis(settings: RedisSettings, db: number, role: string, log: Log): Redis {
  const tls = tlsOf(settings);
  const redis = new LastingRedis(redisOptions(settings, db, tls));
  let down = false;
  /** Why one was of no use: without it a wrong `service_name` looks like Sentinels that are away. */
  let sentinel: Error | undefined;
  redis.on("sentinelError", (error: Error) => (sentinel = error));
  redis.on("error", (error: Error) => {
    // One line per outage: ioredis reports every attempt.
    if (!down) void tell(error, sentinel);
    down = true;
    // With a SELECT that is refused it would go on in another database.
    if (isRefusedSelect(error)) redis.disconnect(true);
  });
  redis.on("ready", () => {
    if (down) log.info({ role }, "Redis is back");
    down = false;
    sentinel = undefined;
  });
  watch(redis, role, log);

  /** Of TLS with a Sentinel ioredis says only that there is no connection: that is looked at by itself. Never rejects. */
  async function tell(error: Error, sentinel: Error | undefined): Promise<void> {
    const asked = settings.sentinel?.[0];
    const isSilent = tls !== null && asked !== undefined && sentinel?.message.includes("Connection is closed") === true;
    const fault = isSilent ? await tlsFault(asked, tls) : null;
    log.warn(
      {
        role,
        reason: error.message || error.name,
        sentinel: fault === null ? sentinel?.message : `${sentinel?.message} (${fault.message})`,
        key: keyToBlame(fault ?? sentinel ?? error, settings.section ?? "redis", tls !== null),
      },
      "Redis is away",
    );
  }

  return redis;
}

// --- internal ---

/** A command without an answer for this long has failed. Milliseconds. */
const COMMAND_TIMEOUT_MS = 3000;
/** How often a quiet connection is asked. */
const CHECK_MS = 5000;
/** A connection that is given up gets this long to close in order; a server that is stopped would keep it for ever. */
const DISCONNECT_TIMEOUT_MS = 500;
/** The longest pause between attempts. Sentinel says where the new master is, and being asked costs it nothing. */
const RETRY_MS = { address: 2000, sentinel: 500 };

/**
 * A connection that comes back until it is closed. ioredis ends one for good when no Sentinel has an answer (or keeps
 * asking in one endless chain of promises), and when it is told to connect anew while it asks one.
 */
class LastingRedis extends Redis {
  isClosed = false;
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(options: Options) {
    super(options);
    this.on("end", () => {
      if (this.isClosed) return;
      // Why it fails is told by the event "error".
      this.#again = setTimeout(() => void this.connect().catch(() => undefined), RETRY_MS.sentinel);
    });
  }

  override disconnect(reconnect = false): void {
    if (!reconnect) {
      this.isClosed = true;
      clearTimeout(this.#again);
    }
    super.disconnect(reconnect);
  }
}

/**
 * Asks all Sentinels before it says that none has an answer, beginning with the one that answered last, unless the master
 * that it named takes no connection: it may have missed a failover. ioredis goes on where it was in the list, and takes
 * its end for the end of all.
 */
class PatientSentinels extends SentinelConnector {
  /** The connection to the master that was named last. */
  #last: { isMade: boolean } | null = null;

  override async connect(
    report: Parameters<SentinelConnector["connect"]>[0],
  ): ReturnType<SentinelConnector["connect"]> {
    this.#choose();
    const last = { isMade: false };
    const stream = await super.connect(report);
    stream.once(this.options.tls ? "secureConnect" : "connect", () => (last.isMade = true));
    this.#last = last;
    return stream;
  }

  override check(info: { role?: string }): boolean {
    const isMaster = super.check(info);
    // ioredis has put another one first.
    if (!isMaster) this.#last = null;
    return isMaster;
  }

  /** Who is asked first. */
  #choose(): void {
    const last = this.#last;
    this.#last = null;
    this.sentinelIterator.reset(last !== null);
    const isAlone = (this.options.sentinels?.length ?? 0) < 2;
    if (last?.isMade === false && !isAlone) this.sentinelIterator.next();
  }
}

/**
 * What no closed connection tells is found by asking: one that is silently gone (a firewall that forgot it, a stopped
 * server), and a master that was made a replica. Sentinel cuts its clients then, an operator or a failover address in
 * front of it may not; a replica takes PUBLISH and tells no worker, and inside EXEC it refuses writes where
 * `reconnectOnError` does not look.
 */
function watch(redis: LastingRedis, role: string, log: Log): void {
  let wasMaster = false;
  async function checkRole(): Promise<void> {
    const isMaster = await askRole(redis);
    if (wasMaster && !isMaster) throw new Error("the master has become a replica");
    wasMaster = isMaster;
  }
  function check(): void {
    if (redis.isClosed) clearInterval(timer);
    if (redis.status !== "ready") return;
    checkRole().catch((error: unknown) => {
      if (redis.status !== "ready") return;
      log.debug({ role, reason: reason(error) }, "connecting to Redis again");
      redis.disconnect(true);
    });
  }
  const timer = setInterval(check, CHECK_MS);
  // Closed or not, it must not keep the process.
  timer.unref();
  // Where the old master still has the address, one attempt a check is enough: it stays as it is for a while.
  redis.on("ready", () => wasMaster || check());
}

/** Whether it is a master, for all we are told. Rejects when it does not answer. */
async function askRole(redis: Redis): Promise<boolean> {
  try {
    // Before RESP3 (Redis 6) a subscriber may only PING.
    if (redis.mode !== "subscriber") return (await redis.role())[0] !== "slave";
    await redis.ping();
    return true;
  } catch (error) {
    // A refusal (some hosted ones do not know ROLE) is an answer.
    if (error instanceof Error && error.name === "ReplyError") return true;
    throw error;
  }
}

type Options = Omit<RedisOptions, "replyMapping">;

function isRefusedSelect(error: Error & { command?: { name?: unknown } }): boolean {
  return error.message.startsWith("NOPERM") && error.command?.name === "select";
}

function redisOptions(settings: RedisSettings, db: number, tls: ConnectionOptions | null): Options {
  const longest = settings.sentinel === null ? RETRY_MS.address : RETRY_MS.sentinel;
  const options: Options = {
    db,
    enableOfflineQueue: false,
    autoResubscribe: false,
    // An ACL user need not have a right to it.
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    connectTimeout: 5000,
    commandTimeout: COMMAND_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 6), longest),
    // A master that was made a replica says so at the next write; behind the address, or by Sentinel, is another one.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  };
  Object.assign(options, credentials(settings));
  if (tls !== null) options.tls = tls;
  if (settings.sentinel === null) return Object.assign(options, settings.addr);
  return Object.assign(options, {
    Connector: PatientSentinels,
    sentinels: settings.sentinel,
    ...(tls === null ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
    name: settings.service_name,
    // The address of a master whose machine is gone answers nothing, not even no: 2 s bear one lost packet.
    connectTimeout: 2000,
    // ioredis waits for ever for a Sentinel that has accepted the connection and says no more, and asks no other.
    sentinelCommandTimeout: 1000,
    // When all were asked in vain, LastingRedis begins again.
    sentinelRetryStrategy: () => null,
    // As the original: the list in the file counts. Sentinels name each other by addresses that may hold only among them.
    updateSentinels: false,
    // `failoverDetector` stays off: it cuts a connection also while it asks for the new master, which then ends for good,
    // and its own connections write unhandled errors to stderr. PING, ROLE and READONLY find what it would.
    failoverDetector: false,
  });
}

/** Empty ones are left out: a server that wants none would complain. */
function credentials({ username = "", password, sentinel_username, sentinel_password = "" }: RedisSettings): Options {
  const given = {
    username,
    password,
    sentinelUsername: sentinel_username ?? "",
    sentinelPassword: sentinel_password === "" ? password : sentinel_password,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
}
