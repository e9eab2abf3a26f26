/**
 * Ten thousand requests that carry secrets in every place and spelling, to a coordinator and its workers as processes: none of the
 * platform's gets to an app, and none at all into logs, pages and answers of ours, Redis, figures, files and the processes'
 * own texts, but where it is meant to be (disclosure/meant.ts).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../faults/random.ts";
import { until } from "../support/until.ts";
import { isMeant } from "./disclosure/meant.ts";
import { everyKey, monitor } from "./disclosure/redis.ts";
import { Secrets, type Finder } from "./disclosure/secrets.ts";
import { processTexts, Services } from "./disclosure/services.ts";
import { saidAtStart, type Start } from "./disclosure/start.ts";
import { make, type Made } from "./disclosure/shapes.ts";
import { shoot, statusOf, volley } from "./disclosure/shoot.ts";
import { World, written } from "./disclosure/world.ts";
import { isFull, seed } from "./options.ts";

/** For each engine, and how many of these while Redis refuses the services. */
const COUNT = isFull ? 50_000 : 5000;
const AWAY = COUNT / 10;
const LIMIT_MS = isFull ? 3_600_000 : 600_000;
/** Of all that has leaked, so much is shown. */
const SHOWN = 8;

/** What anybody may ask both services, and what operators ask the coordinator. */
const OPEN = ["/", "/status", "/health", "/health/readyz", "/metrics", "/health/status"];
const LISTS = ["/swagger/json", "/health/summary", "/health/endpoints", "/api/circuits?limit=1000", "/api/worker", "/api/slots", "/v1/api/worker", "/v1/api/slots"]; // prettier-ignore
/** Of these there are some among so many. */
const STATUSES = [0, 101, 200, 302, 303, 400, 401, 403, 404, 405, 431, 502];

console.log(`disclosure: seed ${seed}`);

interface Answered extends Made {
  answer: string;
}

/** What of a text is not meant to be there, a line for each. */
function leaks(finder: Finder, sink: string, text: string): string[] {
  return finder
    .find(text)
    .filter((one) => !isMeant(sink, one))
    .map(({ place, before, there }) => `${sink}: ${place}: ${JSON.stringify(before.slice(-100) + there)}`);
}

/** Where secrets may get to, by name, with all that was there. */
type Sinks = Map<string, string>;

describe.each(["serve", "sockets"])("with the engine %s", (engine) => {
  const secrets = new Secrets();
  const random = createRandom(seed).fork(engine);
  const answered: Answered[] = [];
  const redis: Sinks = new Map();
  const told: Sinks = new Map();
  const kept: Sinks = new Map();
  const logs: Sinks = new Map();
  let services: Services;
  let world: World;
  let finder: Finder;

  /** Tests come in any order: everything has happened before the first one. */
  beforeAll(async () => {
    services = await Services.start(engine, secrets);
    const commands = monitor(services.redis.port, () => services.password);
    world = await World.open(services);
    const late = lateAnswer();
    await world.rumours();
    await fire(COUNT - AWAY);
    await withoutRedis(() => fire(AWAY));
    expect(statusOf(await late)).toBe(504);
    await lookAround();
    redis.set("Redis, keys", (await everyKey(services.redis.port, services.password)).join("\n"));
    // Services tell at their end what they have only counted.
    await services.end();
    redis.set("Redis, commands", commands.seen());
    commands.stop();
    for (const service of services.all) logs.set(`log of ${service.name}`, service.written());
    finder = secrets.finder();
  }, LIMIT_MS);
  afterAll(() => services.stop());

  async function fire(count: number): Promise<void> {
    const shots = Array.from({ length: count }, () => make(random, world));
    await volley(shots, async (made) => void answered.push({ ...made, answer: await shoot(made.shot) }));
  }

  /** Redis asks for another password than the services have. */
  async function withoutRedis(work: () => Promise<void>): Promise<void> {
    const { password } = services;
    await services.setPassword(`${password}-another`);
    await work();
    await services.setPassword(password);
    await until(async () => statusOf(await ask(services, "/health/readyz")) === 200, 30_000, "Redis to be back");
  }

  const ask = (at: { port: number; tls?: boolean }, target: string, lines: string[] = []) =>
    shoot({ ...at, bytes: written({ target, host: `127.0.0.1:${at.port}`, lines }) });

  /** Of the app that takes no connection: one answer is enough to wait for. */
  function lateAnswer(): Promise<string> {
    const door = world.doors.find(({ name }) => name === "an app that takes no connection");
    if (door === undefined) throw new Error("no app takes no connection");
    const target = `/a?token=${secrets.mark("a query that is late")}`;
    return shoot({ ...door, bytes: written({ target, host: door.host, lines: door.admits }) });
  }

  /** Figures, health and lists; files and processes while they are there. */
  async function lookAround(): Promise<void> {
    const lines = [`X-BackendAI-Token: ${services.secret("secrets.api_secret")}`];
    for (const path of [...OPEN, ...LISTS]) told.set(`GET ${path}`, await ask(services, path, lines));
    for (const { name, apiPort: port, tls, snapshots } of Object.values(services.workers)) {
      for (const path of OPEN) told.set(`GET ${path} of ${name}`, await ask({ port, tls }, path));
      const file = await until(() => readdirSync(snapshots).find((one) => one.endsWith(".json")));
      kept.set(`snapshot of ${name}`, readFileSync(join(snapshots, file), "utf8"));
    }
    kept.set("the database", services.database());
    for (const service of services.all) kept.set(`process ${service.name}`, processTexts(service));
  }

  const leaksOf = (sinks: Sinks) => [...sinks].flatMap(([sink, text]) => leaks(finder, sink, text)).slice(0, SHOWN);
  const all = (sinks: Sinks) => [...sinks.values()].join("\n");

  test("requests of every kind are answered, and everything is looked at", () => {
    expect(answered.length).toBe(COUNT);
    const statuses = Map.groupBy(answered, ({ answer }) => statusOf(answer));
    console.log(engine, [...statuses].toSorted(([a], [b]) => a - b).map(([status, { length }]) => `${status}: ${length}`).join(", ")); // prettier-ignore
    expect(STATUSES.filter((status) => !statuses.has(status))).toEqual([]);
    expect(statuses.get(0)?.length ?? 0).toBeLessThan(COUNT / 5);
    expect([...told.values()].map(statusOf)).toEqual([...told].map(() => 200));
    expect(all(redis)).toContain("service_discovery.appproxy-worker");
    expect(all(redis)).toContain("appproxy_circuit_created_event");
    expect(world.circuits.filter((id) => !all(kept).includes(id))).toEqual([]);
    expect(all(kept)).toContain("worker/main.ts");
    expect(all(logs).split('"msg":"request refused"').length).toBeGreaterThan(COUNT / 4);
    expect(all(logs).match(/"url":"[^"]*token=…/g)?.length).toBeGreaterThan(COUNT / 100);
    for (const msg of [
      "Redis is back",
      "kernel is left out: its health check fails",
      "message of the platform ignored",
    ])
      expect(all(logs)).toContain(msg);
  });

  test("nothing of the platform's reaches an app", () => {
    const received = [...world.apps, world.tcpApp, world.broken].map((app) => app.received());
    const found = received.flatMap((text) => finder.find(text));
    const users = found.filter(({ isUsers }) => isUsers).map(({ place }) => place);
    // Where `Bun.serve` carries WebSockets their frames are made anew, and masked.
    const alone = engine === "sockets" ? ["a WebSocket's frame (", "a query behind a PROXY header ("] : [];
    const wanted = ["a query (", "bytes of TCP (", "bytes behind a PROXY header (", ...alone];
    expect(wanted.filter((begin) => !users.some((place) => place.startsWith(begin)))).toEqual([]);
    expect(found.filter(({ isUsers }) => !isUsers).slice(0, SHOWN)).toEqual([]);
  });

  test("no answer holds a secret", () => {
    const found = answered.flatMap(
      ({ shape, door, answer, shot }) =>
      leaks(finder, `answer to ${shape} at ${door.name}`, answer).map((one) => `${one} to ${JSON.stringify(shot.bytes.slice(0, 1000))}`), // prettier-ignore
    );
    expect(found.slice(0, SHOWN)).toEqual([]);
  });

  test("neither Redis nor what is said over it holds one", () => {
    expect(leaksOf(redis)).toEqual([]);
  });

  test("no figure, health or list holds one", () => {
    expect(leaksOf(told)).toEqual([]);
  });

  test("no file and no text of a process holds one", () => {
    expect(leaksOf(kept)).toEqual([]);
  });

  test("no log holds one", () => {
    const lines = [...logs].flatMap(([sink, text]) => text.split("\n").map((line) => ({ sink, line })));
    const found = lines.flatMap(({ sink, line }) => leaks(finder, sink, line).map((one) => `${one} in ${line}`));
    expect(found.slice(0, SHOWN)).toEqual([]);
  });
});

describe("a service that can't start", () => {
  const secrets = new Secrets();
  const mark = () => secrets.mark("a file or argument");
  const good = (more = "") => `[secrets]\napi_secret = "${mark()}"\njwt_secret = "${mark()}"\n[permit_hash]\nsecret = "${mark()}"\n${more}`; // prettier-ignore
  const [coordinator, worker] = ["coordinator/main.ts", "worker/main.ts"];
  const same = mark();
  const unsaid = { APP_PROXY_COORDINATOR__SECRETS__API_SECRT: mark() };
  const elsewhere = { APP_PROXY_COORDINATOR__SECRETS__API_SECRET: mark() };
  const database = ["--from", `postgresql://me:${mark()}@127.0.0.1:1/db`, "--dry-run"];
  const STARTS: Record<string, Start> = {
    "a text that is cut": { program: coordinator, toml: `[secrets]\napi_secret = "${mark()}\njwt_secret = ${mark()}` },
    "a bare word": { program: worker, toml: `[secrets]\napi_secret = ${mark()}\n` },
    "a list": {
      program: coordinator,
      toml: `[secrets]\napi_secret = ["${mark()}"]\njwt_secret = { a = "${mark()}" }\n`,
    },
    "equal secrets": { program: coordinator, toml: `[secrets]\napi_secret = "${same}"\njwt_secret = "${same}"\n` },
    "a sample": { program: coordinator, toml: `[secrets]\napi_secret = "some_${mark()}"\njwt_secret = "${mark()}"\n` },
    "a list of other things": { program: worker, toml: good(`previous_secrets = [["${mark()}"]]\n`) },
    "a key that is misspelt": {
      program: coordinator,
      toml: good(`[redis]\npasword = "${mark()}"\n`),
      args: ["--check"],
    },
    "a password in an address": {
      program: worker,
      toml: good(`[redis]\naddr = "redis://:${mark()}@127.0.0.1:6379"\n`),
    },
    "a password in a URL": {
      program: worker,
      toml: good(`[proxy_worker]\ncoordinator_endpoint = "ftp://me:${mark()}@h"\n`),
    },
    "a variable that is misspelt": { program: coordinator, toml: good(), args: ["--check"], env: unsaid },
    "another key than the variable's": { program: coordinator, toml: good("[db]\npath = 5\n"), env: elsewhere },
    "a database elsewhere": { program: "scripts/run/import-original.ts", toml: "", args: database },
    "an argument": { program: worker, toml: good(), args: ["--secret", mark()] },
  };
  const said = new Map<string, string>();
  beforeAll(async () => {
    await volley(Object.entries(STARTS), async ([why, wish]) => void said.set(why, await saidAtStart(wish)), 3);
  }, LIMIT_MS);

  test.each(Object.keys(STARTS))("because of %s tells none", (why) => {
    expect(said.get(why)).not.toBe("");
    expect(leaks(secrets.finder(), why, said.get(why) ?? "")).toEqual([]);
  });
});

describe("a secret is found", () => {
  const secrets = new Secrets();
  const marks = [secrets.mark("here"), secrets.mark("here", { letters: true })];
  const real = secrets.real(
    "here",
    `v3.${Buffer.from(crypto.getRandomValues(new Uint8Array(36))).toString("base64url")}`,
  );
  const id = secrets.real("here", crypto.randomUUID());
  const finder = secrets.finder();
  const percent = (text: string) =>
    [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  const base64 = (text: string, before: string) => Buffer.from(`${before}${text}"}`).toString("base64");

  test.each<[string, (secret: string) => string]>([
    ["as it is", (one) => one],
    ["in capitals", (one) => one.toUpperCase()],
    ["with percent signs", percent],
    ["with some", (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}${one.slice(1)}`],
    ["with percent signs, twice", (one) => percent(percent(one))],
    ["with percent signs in JSON in JSON", (one) => JSON.stringify(JSON.stringify({ a: percent(one) }))],
    [
      "as JSON escapes it",
      (one) => [...one].map((each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
    ],
    ["as HTML escapes it", (one) => [...one].map((each) => `&#x${each.charCodeAt(0).toString(16)};`).join("")],
    ["in hexadecimal", (one) => Buffer.from(one).toString("hex")],
    ["in hexadecimal, capitals", (one) => Buffer.from(one).toString("hex").toUpperCase()],
    ["in Base64", (one) => base64(one, "")],
    ["in Base64, a byte later", (one) => base64(one, "a")],
    ["in Base64, two bytes later", (one) => base64(one, "ab")],
    ["in Base64 for URLs", (one) => base64(one, '{"key":"').replaceAll("+", "-").replaceAll("/", "_")],
  ])("%s", (_, form) => {
    for (const secret of [...marks, real, id])
      expect(finder.find(`some text and ${form(secret)} and more`).map(({ place }) => place)).toContain("here");
  });

  test("when it is cut, and in no other text", () => {
    expect(finder.find(`${real.slice(0, 20)}…`)).not.toEqual([]);
    expect(finder.find(`…${id.slice(18)}`)).not.toEqual([]);
    expect(finder.find(id.replaceAll("-", ""))).not.toEqual([]);
    expect(finder.find(`${crypto.randomUUID()} ${Buffer.from("nothing").toString("base64")} %5A%71%37`)).toEqual([]);
  });
});
