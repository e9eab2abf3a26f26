/**
 * HTTP connections of a proxy in front that begin with a PROXY header, over real sockets: nothing behind the header is lost,
 * and the address that it tells is the peer for all.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { closeWires } from "../../../contract/wire.ts";
import { dial, finalHead, requestHead, type Ask } from "../../../contract/client.ts";
import { startStage, type Opened, type Stage } from "../../../contract/stage.ts";
import { echo, stopUpstreams, told } from "../../../contract/upstreams.ts";
import { startCluster } from "../../../support/cluster.ts";
import { until } from "../../../support/until.ts";
import { binary, INET, line } from "./headers.ts";
import { answerOf, BAD, BOTH, CLIENT, HEADERS, PORT, refusals, say, silence, STRANGER, WITH } from "./in-front.ts";

const MIB = 1024 * 1024;

let stage: Stage;
afterEach(() => {
  closeWires();
  stopUpstreams();
});

const bytewise = (bytes: Buffer) => [...bytes].map((byte) => Buffer.from([byte]));

describe("an HTTP frontend", () => {
  beforeAll(async () => void (stage = await startStage(PORT, { worker: { ...WITH, ...BOTH } })));
  afterAll(() => stage.stop());

  const request = (to: Opened, wish: Ask = {}) => Buffer.from(requestHead(to, "/", wish), "latin1");

  describe.each(HEADERS)("behind %s", (_what, header, peer) => {
    test("takes the told address for the client's, however the bytes come", async () => {
      const to = await stage.open({ upstream: echo().port, allowedClientIps: peer });
      const all = Buffer.concat([header, request(to)]);
      for (const pieces of [[all], [header, request(to)], [all.subarray(0, header.length - 1), all.subarray(header.length - 1)], [all.subarray(0, header.length + 1), all.subarray(header.length + 1)]]) {
        const { status, pairs } = await answerOf(await say(to.port, ...pieces));
        expect([status, pairs.get("x-forwarded-for")]).toEqual([200, peer]);
      }
    }); // prettier-ignore
  });

  test("takes both versions byte by byte", async () => {
    const to = await stage.open({ upstream: echo().port, allowedClientIps: CLIENT });
    for (const header of [line(CLIENT), binary({ block: INET })]) {
      const wire = await say(to.port, ...bytewise(header), request(to));
      expect((await answerOf(wire)).status).toBe(200);
    }
  });

  test("lets in nobody whom the list of a circuit does not hold", async () => {
    const to = await stage.open({ upstream: echo().port, allowedClientIps: "127.0.0.1" });
    expect((await answerOf(await say(to.port, line(CLIENT), request(to)))).status).toBe(403);
  });

  test("holds for every request of the connection, pipelined ones too, and a header counts once", async () => {
    const to = await stage.open({ upstream: echo().port });
    const wire = await say(to.port, Buffer.concat([line(CLIENT), request(to), request(to)]));
    for (let at = 0; at < 2; at++) expect((await answerOf(wire)).pairs.get("x-forwarded-for")).toBe(CLIENT);
    await wire.send(line("6.6.6.6"));
    await wire.send(request(to));
    expect((await wire.head()).status).toBe(400);
  });

  test("carries a body of a MiB that came with the header, and a half that ended with it", async () => {
    const to = await stage.open({ upstream: echo().port });
    const body = Buffer.alloc(MIB, "0123456789abcdef");
    const wire = await dial(to.port);
    await wire.send(Buffer.concat([line(CLIENT), request(to, { method: "POST", body }), body]));
    wire.finish();
    const head = await finalHead(wire);
    const { sha256, length } = told(await wire.body(head, "POST"));
    expect([length, sha256]).toEqual([MIB, new Bun.CryptoHasher("sha256").update(body).digest("hex")]);
  });

  test("believes forwarded headers only where the told address is a trusted proxy's itself", async () => {
    const to = await stage.open({ upstream: echo().port, allowedClientIps: "198.51.100.1, 203.0.113.7" });
    const headers: Ask["headers"] = [["X-Forwarded-For", "198.51.100.1"], ["X-Forwarded-Proto", "https"], ["X-Forwarded-Host", "apps.example"]]; // prettier-ignore
    const forwarded = async (source: string) => {
      const { pairs } = await answerOf(await say(to.port, Buffer.concat([line(source), request(to, { headers })])));
      return ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map((name) => pairs.get(name));
    };
    expect(await forwarded(CLIENT)).toEqual([CLIENT, "http", to.host]);
    expect(await forwarded("10.1.2.3")).toEqual(["198.51.100.1, 10.1.2.3", "https", "apps.example"]);
  });

  test("reads no header of anybody else's: what begins so is no request", async () => {
    const to = await stage.open({ upstream: echo().port });
    const wire = await dial(to.port, STRANGER);
    await wire.send(Buffer.concat([line(CLIENT), request(to)]));
    expect((await wire.head()).status).toBe(400);
    const plain = await dial(to.port, STRANGER);
    await plain.send(request(to));
    expect((await answerOf(plain)).pairs.get("x-forwarded-for")).toBe(STRANGER);
  });

  test.each(BAD)("resets %s, and the app sees nothing", async (_what, bytes) => {
    const upstream = echo();
    const to = await stage.open({ upstream: upstream.port });
    const wire = await say(to.port, bytes);
    expect([await wire.end(), wire.received, upstream.wires.length]).toEqual(["reset", 0, 0]);
  });

  test("resets one that says nothing for three seconds, and whoever stays within a header", async () => {
    const to = await stage.open({ upstream: echo().port });
    const slow = await say(to.port, line(CLIENT).subarray(0, 20));
    expect(await silence(to.port)).toBeWithin(2900, 20_000);
    expect([await slow.end(), slow.received]).toEqual(["reset", 0]);
  }, 30_000);

  test("says once a while that a header was refused, without its bytes", async () => {
    const to = await stage.open({ upstream: echo().port });
    for (const [, bytes] of BAD) await (await say(to.port, bytes)).end();
    expect(refusals(stage)).toMatchObject([{ level: 40, peer: "127.0.0.1", unsaid: 0 }]);
    expect(JSON.stringify(stage.lines)).not.toContain("s3cret");
  });

  test("ends connections without a header when their circuit goes", async () => {
    const to = await stage.open({ upstream: echo().port });
    const wire = await say(to.port, "PROXY ");
    const began = performance.now();
    await stage.close(to);
    expect([await wire.end(), performance.now() - began < 2500]).toEqual(["reset", true]);
  });
});

test("a look whether the port is open is not worth a line in the log", async () => {
  stage = await startStage(PORT, { worker: WITH });
  const to = await stage.open({ upstream: echo().port });
  const [left, ended] = [await dial(to.port), await dial(to.port)];
  left.reset();
  ended.finish();
  expect([await ended.end(), refusals(stage)]).toEqual(["reset", []]);
  const half = await say(to.port, "PROXY ");
  half.finish();
  await until(() => refusals(stage).length > 0);
  expect(refusals(stage)).toMatchObject([{ reason: "the connection has ended within it", unsaid: 0 }]);
  await stage.stop();
});

test("a wildcard frontend reads headers too", async () => {
  stage = await startStage({ ...PORT, frontend: "wildcard" }, { worker: WITH });
  const to = await stage.open({ upstream: echo().port, allowedClientIps: CLIENT });
  const { status, pairs } = await answerOf(await say(to.port, line(CLIENT), requestHead(to, "/")));
  expect([status, pairs.get("x-forwarded-for")]).toEqual([200, CLIENT]);
  await stage.stop();
});

test("both services in one process read headers too", async () => {
  const cluster = await startCluster({ worker: { ...WITH, engine: "sockets" } });
  const { token, sessionId } = await cluster.manager.conf({ kernel_port: echo().port });
  await cluster.manager.auth(token, sessionId, { app: "jupyter" });
  const wire = await say(cluster.ports[0], line(CLIENT), "GET / HTTP/1.1\r\nHost: me\r\n\r\n");
  expect((await wire.head()).status).toBe(401);
  await cluster.stop();
});

test("without the key nobody's header is read", async () => {
  stage = await startStage(PORT, { worker: { trusted_proxies: ["127.0.0.1"] } });
  const to = await stage.open({ upstream: echo().port });
  expect((await (await say(to.port, line(CLIENT), requestHead(to, "/"))).head()).status).toBe(400);
  await stage.stop();
});
