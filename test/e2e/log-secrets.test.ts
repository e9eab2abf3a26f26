/**
 * What spawned services log at their lowest level while secrets come in at every place of a request: none of them is in
 * anything that they write. Each secret has a mark of its own, so a failure says which place has leaked.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { askFrom, freshAddress } from "../support/from-address.ts";
import { newKernel } from "../support/manager.ts";
import { rawServer, type RawServer } from "../support/raw.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { spawnCluster, type Service, type SpawnedCluster } from "../support/spawned.ts";
import { until } from "../support/until.ts";

/** A secret that stands at this place. */
const mark = (place: string) => `Zq7f3a9${place}`;
const MARKS = /Zq7f3a9\w*/gi;

const jwt = (place: string) =>
  ['{"alg":"HS256"}', `{"id":"${mark(place)}"}`, mark(place)]
    .map((part) => Buffer.from(part).toString("base64url"))
    .join(".");

/** Query strings in which a secret has a name that is known, that is not, and none. */
const QUERIES = [
  ...["token", "Token", "%74oken", "t", "auth", "access_token", "api_key", "code", "sig", "anything"].map(
    (name, at) => `${name}=${mark(`query${at}`)}`,
  ),
  `x=1&password=${mark("second")}`,
  `x=1;jsessionid=${mark("semicolon")}`,
  `redirect=/a?token=${mark("nested")}`,
  `redirect=%2Fa%3Ftoken%3D${mark("escaped")}`,
  mark("bare"),
];

/** Targets that hold one elsewhere, or behind marks that are no `?`. */
const TARGETS = [
  ...QUERIES.map((query) => `/lab?${query}`),
  `/lab%3Ftoken=${mark("mark")}`,
  `/lab%253Ftoken%253D${mark("twice")}`,
  `/lab;token=${mark("parameter")}`,
  `//lab/${jwt("path")}`,
  `/lab/${jwt("dots").replaceAll(".", "%2E")}`,
  `/setup?token=${jwt("setup")}`,
  `/setup?token=${mark("notoken")}`,
  `/_appproxy/enter?t=t1.${jwt("ticket")}`,
];

/** Header lines that no log has to hold. */
const LINES = [
  `Referer: http://elsewhere.example/a?token=${mark("referer")}`,
  `Origin: http://elsewhere.example`,
  `Cookie: appproxy_permit_01234567=${mark("permit")}; appproxy_permit=${mark("legacy")}; sid=${mark("cookie")}`,
  `Authorization: Bearer ${jwt("bearer")}`,
  `X-BackendAI-Token: ${mark("api")}`,
  `X-Backend-Request-ID: ${jwt("requestid")}`,
].join("\r\n");

let redis: RedisServer;
let raw: RawServer;
beforeAll(async () => {
  redis = await startRedis();
  // An app that breaks off, so that what has failed upstream is told.
  raw = await rawServer((server) => server.reply("HTTP/1.1 200 OK\r\nContent-Length: 9", "end"));
});
afterAll(async () => {
  await raw.stop();
  await redis.stop();
});

/** Each from an address of its own, so that none of its lines is only counted with another. */
async function ask(port: number, method: string, target: string, more = "", body = ""): Promise<void> {
  const host = target.startsWith("/") ? `127.0.0.1:${port}` : "elsewhere.example";
  const head = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${LINES}\r\nConnection: close\r\n${more}\r\n`;
  await askFrom(freshAddress(), port, head + body);
}

async function written(...services: Service[]): Promise<string> {
  await Promise.all(services.map((service) => service.stop()));
  const errors = await Promise.all(services.map((service) => service.stderr));
  return services.map(({ lines }) => JSON.stringify(lines)).join("\n") + errors.join("\n");
}

describe.each(["serve", "sockets"])("with the engine %s", (engine) => {
  let cluster: SpawnedCluster;
  beforeAll(async () => {
    cluster = await spawnCluster({ redisPort: redis.port, worker: { engine } });
  });
  afterAll(() => cluster.stop());

  test("no secret of a request is in anything that coordinator and worker write", async () => {
    const { manager, coordinator, worker } = cluster;
    const { token, sessionId } = await manager.conf({ kernel_host: "127.0.0.1", kernel_port: raw.port });
    const opened = await manager.auth(token, sessionId);
    const entered = await manager.enter(newKernel(), { redirect: `/a?token=${mark("wanted")}` });
    const [api, front] = [new URL(manager.baseUrl), new URL(entered.origin)].map(({ port }) => Number(port));
    const setup = new URL(String(opened.body["redirect_url"]));

    const paths = [`/v2/proxy/TOKEN/${sessionId}/add`, `/v2//proxy//TOKEN/${sessionId}/add`, `/V2/Proxy/TOKEN/x/delete`, `/v2/%70roxy/TOKEN/x/add`, `/v2%2Fproxy%2FTOKEN`]; // prettier-ignore
    for (const spelling of [token, token.toUpperCase(), token.replaceAll("-", "%2D")])
      for (const path of paths) await ask(Number(api), "GET", `${path.replace("TOKEN", spelling)}?app=none`);
    for (const target of TARGETS) {
      await ask(Number(api), "GET", target);
      await ask(Number(setup.port), "GET", target);
      await ask(Number(front), "GET", target);
      await ask(Number(front), "GET", target, "Upgrade: websocket\r\nConnection: upgrade\r\n");
      // Let in, for an app that is not there.
      await fetch(entered.origin + target, { headers: { cookie: entered.cookie } });
    }
    for (const target of [
      `http://me:${mark("userinfo")}@elsewhere.example/?code=${mark("absolute")}`,
      `/a\u0080?token=${mark("byte")}`,
    ])
      // prettier-ignore
      for (const port of [api, front, Number(setup.port)]) await ask(Number(port), "GET", target);
    for (const body of [
      `{"token": "${mark("body")}", "app": 1}`,
      `{"token"=${mark("broken")}`,
      `token=${mark("form")}`,
      mark("word"),
    ])
      for (const path of ["/v2/proxy/auth", "/v2/conf", "/api/worker"])
        await ask(
          Number(api),
          "POST",
          path,
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`,
          body,
        );
    const refused = await fetch(`${entered.origin}/last?x=1`, { headers: { accept: "application/json" } });
    const last = refused.headers.get("x-error-id");
    await until(() => worker.lines.some((line) => line["error_id"] === last));

    const text = await written(worker, coordinator);
    expect([...new Set(text.match(MARKS))]).toEqual([]);
    const secrets = [token.slice(-12), entered.token.slice(-12), setup.searchParams.get("token"), entered.cookie.split("=")[1]]; // prettier-ignore
    expect(secrets.filter((secret) => text.toLowerCase().includes(String(secret).toLowerCase()))).toEqual([]);
    // And it was all told.
    const told = ["/lab?access_token=…", "/v2//proxy//…/…/add?app=…"];
    expect(told.filter((url) => !text.includes(url))).toEqual([]);
  }, 120_000);
});
