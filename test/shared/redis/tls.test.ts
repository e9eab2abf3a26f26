/** TLS with real servers and Sentinels: whose certificate is taken, who we are there, and which key is named when it fails. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { pino } from "pino";
import { connectRedis, type RedisSettings } from "../../../shared/redis/redis.ts";
import { startOutside } from "../../support/outside.ts";
import { freePort } from "../../support/ports.ts";
import { makeAuthority, SERVER_NAME, startTlsRedis, type TlsRedis } from "../../support/redis-tls.ts";
import { SERVICE } from "../../support/sentinel.ts";
import { until } from "../../support/until.ts";

const PASSWORD = "uT3xWq8vLr5mKc2z";
/** May do everything, in the database alone with which a connection begins. */
const POOR = "user poor on >poor-0123456789 ~* &* +@all -select";

const stack = new AsyncDisposableStack();
/** One with users, and one that wants a certificate. */
let server: TlsRedis;
let strict: TlsRedis;

beforeAll(async () => {
  const acl = [`user default off`, `user ours on >${PASSWORD} ~* &* +@all`, POOR];
  server = await startTlsRedis({ acl });
  stack.defer(() => server.stop());
  strict = await startTlsRedis({ wantsCertificate: true });
  stack.defer(() => strict.stop());
}, 60_000);
afterAll(() => stack.disposeAsync());

interface Opened {
  redis: Redis;
  lines: Record<string, unknown>[];
}

function open(settings: Partial<RedisSettings>): Opened {
  const lines: Opened["lines"] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Opened["lines"][0]);
  const redis = connectRedis(
    { addr: at(server.port), sentinel: null, service_name: SERVICE, password: "", ...settings },
    2,
    "tester",
    pino({ level: "info" }, { write }),
  );
  stack.defer(() => redis.disconnect());
  return { redis, lines };
}

const at = (port: number, host = "127.0.0.1") => ({ host, port });
const good = (): Partial<RedisSettings> => ({ tls: true, tls_ca: server.authority.ca, tls_server_name: SERVER_NAME, username: "ours", password: PASSWORD }); // prettier-ignore
const answers = (redis: Redis) => () => redis.set("here", "1").then((said) => said === "OK", () => false); // prettier-ignore

/** What is said of a connection that does not come about. */
async function complaint(settings: Partial<RedisSettings>): Promise<[key: unknown, reason: string]> {
  const { redis, lines } = open(settings);
  const line = await until(() => lines[0]);
  expect(line).toMatchObject({ level: 40, role: "tester", msg: "Redis is away" });
  expect(JSON.stringify(lines)).not.toContain(PASSWORD);
  expect(await answers(redis)()).toBe(false);
  redis.disconnect();
  return [line["key"], JSON.stringify([line["reason"], line["sentinel"]])];
}

describe("by address", () => {
  test.each(["tls", "use_tls"] as const)("it connects, with %s, as the user that it is", async (key) => {
    const { redis, lines } = open({ ...good(), tls: false, [key]: true });
    await until(answers(redis));
    expect([await redis.acl("WHOAMI"), lines]).toEqual(["ours", []]);
  });

  test("the host of the address is what the certificate has to be for, unless a name is given", async () => {
    const { tls_server_name: _, ...rest } = good();
    for (const host of ["127.0.0.1", "localhost"]) {
      const [key, reason] = await complaint({ ...rest, addr: at(server.port, host) });
      expect(key).toStartWith("redis.tls_server_name: ");
      expect(reason).toContain("does not match");
    }
  });

  test("a certificate for another name is refused", async () => {
    const [key, reason] = await complaint({ ...good(), tls_server_name: "other.example" });
    expect([key, reason.includes("other.example")]).toEqual(["redis.tls_server_name: the certificate of Redis is for another name", true]); // prettier-ignore
  });

  test("one that another authority has signed is refused, and so is it where only public ones count", async () => {
    const other = makeAuthority(server.directory, "theirs").ca;
    for (const tls_ca of [other, null]) {
      const [key] = await complaint({ ...good(), tls_ca });
      expect(key).toBe("redis.tls_ca: nobody named there has signed the certificate of Redis, or it has expired");
    }
  });

  test("any is taken where that is configured", async () => {
    const { tls_ca: _, tls_server_name: _n, ...rest } = good();
    await until(answers(open({ ...rest, tls_skip_verify: true }).redis));
  });

  test("a Redis that wants a certificate gets ours, and without one is told of", async () => {
    const { cert, key } = strict.authority.issue("app-proxy");
    const settings = { tls: true, tls_ca: strict.authority.ca, tls_server_name: SERVER_NAME, addr: at(strict.port) };
    await until(answers(open({ ...settings, tls_cert: cert, tls_privkey: key }).redis));
    expect((await complaint(settings))[0]).toBe("redis.tls_cert, redis.tls_privkey: Redis wants a certificate of ours");
    const foreign = makeAuthority(strict.directory, "theirs").issue("app-proxy");
    const [named] = await complaint({ ...settings, tls_cert: foreign.cert, tls_privkey: foreign.key });
    expect(named).toBe("redis.tls_cert, redis.tls_privkey: Redis wants a certificate of ours");
  });

  test.each([
    ["another user", { username: "nobody" }],
    ["another password", { password: "not-the-password" }],
    ["no user", { username: "" }],
  ])("%s is refused", async (_what, settings) => {
    const [key, reason] = await complaint({ ...good(), ...settings });
    expect([key, /WRONGPASS/.test(reason)]).toEqual(["redis.username, redis.password: Redis refuses them", true]);
  });

  test("nobody at all is refused", async () => {
    const [key, reason] = await complaint({ ...good(), username: "", password: "" });
    expect([key, /NOAUTH/.test(reason)]).toEqual(["redis.username, redis.password: Redis refuses them", true]);
  });

  test("a user that may not choose the database is not let go on in another one", async () => {
    const { redis, lines } = open({ ...good(), username: "poor", password: "poor-0123456789" });
    const seen = { ready: 0, reconnecting: 0 };
    redis.on("ready", () => (seen.ready += 1)).on("reconnecting", () => (seen.reconnecting += 1));
    await until(() => seen.reconnecting > 2);
    expect([seen.ready, lines.length]).toEqual([0, 1]);
    expect(lines[0]).toMatchObject({ key: "redis.username: this user lacks a right (docs/redis.md)" });
    expect(String(lines[0]?.["reason"])).toContain("'select'");
  });

  test("who speaks no TLS to a server that does, or the other way round, is told so", async () => {
    expect((await complaint({ ...good(), tls: false }))[0]).toBe("redis.tls: perhaps Redis wants TLS there");
    expect((await complaint({ ...good(), addr: at(server.plain.port) }))[0]).toBe("redis.tls: perhaps Redis speaks no TLS there"); // prettier-ignore
  }, 30_000);

  test("the section is named in which the key stands", async () => {
    const [key] = await complaint({ ...good(), tls_server_name: "other.example", section: "core_redis" });
    expect(key).toStartWith("core_redis.tls_server_name: ");
  });
});

describe("by Sentinel", () => {
  let port: number;
  const settings = () => ({ ...good(), sentinel: [at(port)], sentinel_username: "watcher", sentinel_password: "watcher-0123456789" }); // prettier-ignore

  beforeAll(async () => {
    port = await freePort();
    const file = join(server.directory, "sentinel.conf");
    const tls = server.tlsArguments.join(" ").split(" --").map((one) => one.replace(/^--/, "")); // prettier-ignore
    const lines = [
      "port 0",
      `tls-port ${port}`,
      "bind 127.0.0.1",
      `dir ${server.directory}`,
      ...tls,
      "tls-replication yes",
      "user default off",
      "user watcher on >watcher-0123456789 resetchannels -@all +sentinel|get-master-addr-by-name",
      `sentinel monitor ${SERVICE} 127.0.0.1 ${server.port} 1`,
      `sentinel auth-user ${SERVICE} ours`,
      `sentinel auth-pass ${SERVICE} ${PASSWORD}`,
    ];
    writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
    const child = startOutside(["redis-server", file, "--sentinel"]);
    stack.defer(async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    await until(answers(open(settings()).redis));
  }, 60_000);

  test("Sentinels and the master are spoken to with TLS, each as the user that it knows", async () => {
    const { redis, lines } = open(settings());
    await until(answers(redis));
    expect([await redis.acl("WHOAMI"), lines]).toEqual(["ours", []]);
  });

  test.each<[string, Partial<RedisSettings>, string]>([
    ["its certificate is for another name", { tls_server_name: "other.example" }, "redis.tls_server_name: "],
    ["another has signed it", { tls_ca: null }, "redis.tls_ca: "],
    ["it refuses the user", { sentinel_password: "not-the-password" }, "redis.username, redis.password: "],
  ])("where %s, the key is named", async (_what, wrong, wanted) => {
    const [key] = await complaint({ ...settings(), ...wrong });
    expect(key).toStartWith(wanted);
  });
});
