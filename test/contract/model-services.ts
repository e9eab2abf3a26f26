/** Model services behind bearer tokens: who is let in, what reaches the model server, and the streams that models need. */
import { describe, expect, test } from "bun:test";
import { mintInferenceToken } from "../../shared/protocol/jwt.ts";
import { JWT_SECRET } from "../support/manager.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/until.ts";
import { ask, begin, finalHead, type Ask } from "./client.ts";
import { linesOf, useStage } from "./line.ts";
import { chunk } from "./message.ts";
import type { Shape } from "./shapes.ts";
import type { Opened } from "./stage.ts";
import { answer, app, echo, told, type Upstream } from "./upstreams.ts";
import { handshake, TEXT, webSocketApp, connect } from "./websocket-peer.ts";
import type { Wire } from "./wire.ts";
import { owed } from "../support/owed.ts";

/** dataplane H9. Milliseconds. */
const ABORT_MS = 100;
const EVENTS = 10_000;
const SSE = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const SOON = Math.floor(Date.now() / 1000) + 3600;

type Pair = [name: string, value: string];

export function modelServices(shape: Shape): void {
  const line = linesOf(shape);

  describe("a model service", () => {
    const stage = useStage(shape, { ports: 64 });

    const open = (...upstreams: Upstream[]) =>
      stage().open({ upstream: upstreams.map(({ port }) => port), appMode: "inference" });

    /** A request by a client with the circuit's token and no permit. */
    async function withToken(to: Opened, target: string, wish: Ask = {}): Promise<Wire> {
      return begin(to, target, { ...wish, headers: [NO_COOKIE, await bearer(to), ...(wish.headers ?? [])] });
    }

    for (const scheme of ["Bearer", "BackendAI"])
      test(`lets the holder of its token in with ${scheme}, and keeps the token to itself`, async () => {
        const upstream = echo();
        const to = await open(upstream);
        // The second time it is known.
        for (let time = 0; time < 2; time++) {
          const headers: Pair[] = [["Cookie", "theme=dark"], await bearer(to, scheme), ["X-Api-Key", "mine"]];
          const { pairs } = told((await ask(to, "/v1/models?x=1", { headers })).body);
          const seen = new Map(pairs.map(([name, value]) => [name.toLowerCase(), value]));
          expect([seen.has("authorization"), seen.get("cookie"), seen.get("x-api-key")]).toEqual([
            false,
            "theme=dark",
            "mine",
          ]);
        }
      });

    test("tells everybody else what is missing, with CORS, and asks for a token", async () => {
      const upstream = echo();
      const to = await open(upstream);
      const other = await open(upstream);
      const cases: [Pair[], string][] = [
        [[], "E20006: Authorization header not provided"],
        // A permit is for apps of sessions.
        [[["Cookie", to.cookie]], "E20006: Authorization header not provided"],
        [[["Authorization", "Basic dTpw"]], "E20007: Unsupported authorization method Basic"],
        [[["Authorization", "Bearer nonsense"]], "E20008: Invalid authorization token (it cannot be read)"],
        [[await bearer(to, "Bearer", { exp: 1_700_000_000 })], "E20008: Invalid authorization token (it has expired)"],
        [[await bearer(to, "Bearer", { secret: "another-secret-0123456789" })], "E20008: Invalid authorization token (its signature is wrong)"], // prettier-ignore
        [[await bearer(other)], "E20009: Authorization token mismatch"],
      ];
      for (const method of ["GET", "POST", "DELETE", "OPTIONS"])
        for (const [credential, msg] of cases) {
          const headers: Pair[] = [NO_COOKIE, ["Accept", "application/json"], ...credential];
          const { head, body } = await ask(to, "/", { method, headers });
          expect([method, head.status, JSON.parse(body.bytes.toString())]).toEqual([
            method,
            401,
            { type: "https://api.backend.ai/probs/invalid-credentials", title: "Authentication credentials not valid.", error_code: "agent_auth_unauthorized", msg, error: { message: msg, type: "authentication_error", code: "agent_auth_unauthorized" } },
          ]); // prettier-ignore
          expect([head.get("www-authenticate"), head.get("access-control-allow-origin")]).toEqual(["Bearer", "*"]);
        }
      // What programs say that take anything.
      const any = await ask(to, "/", { headers: [NO_COOKIE, ["Accept", "*/*"]] });
      expect([any.head.status, any.head.get("content-type")]).toEqual([401, "application/problem+json"]);
      const page = await ask(to, "/", { headers: [NO_COOKIE, ["Accept", "text/html"]] });
      expect([page.head.status, page.head.get("content-type")]).toEqual([401, "text/html; charset=utf-8"]);
      expect(upstream.asked).toHaveLength(0);
    });

    // Measured with openai 3.57 of PyPI and 7.57 of npm: both show `message`, `type` and `code` of `error`. Without it the first
    // says "Error code: 401" and nothing else, and neither has a code.
    test("whose kernel is away, or whose list does not name the client, says so in an error object too", async () => {
      const away = await stage().open({ upstream: await freePort(), appMode: "inference" });
      const listed = await stage().open({ upstream: echo().port, appMode: "inference", allowedClientIps: "10.0.0.1" });
      const gone = await stage().open({ upstream: [], appMode: "inference" });
      const error = async (to: Opened) => {
        const { head, body } = await ask(to, "/v1/models", {
          headers: [NO_COOKIE, await bearer(to), ["Accept", "*/*"]],
        });
        return [head.status, JSON.parse(body.bytes.toString()).error];
      };
      const unreachable = { message: expect.any(String), type: "server_error", code: "kernel_access_unreachable" };
      expect([await error(away), await error(listed), await error(gone)]).toEqual([
        [503, unreachable],
        [403, { message: "E20011: Client address not allowed", type: "permission_error", code: "appproxy_access_forbidden" }],
        [503, { message: "No kernel serves this app", type: "server_error", code: "agent_generic_unavailable" }],
      ]); // prettier-ignore
      // An app's errors are read by people's pages and our own tools.
      const app = await stage().open({ upstream: await freePort() });
      const { body } = await ask(app, "/", { headers: [["Accept", "application/json"]] });
      expect(JSON.parse(body.bytes.toString()).error).toBeUndefined();
    });

    test("that is open to the public needs nothing, and gets the client's own Authorization", async () => {
      const to = await stage().open({ upstream: echo().port, appMode: "inference", public: true });
      const seen = told((await ask(to, "/", { headers: [NO_COOKIE, ["Authorization", "Bearer its-own-key"]] })).body);
      expect(seen.pairs.find(([name]) => name.toLowerCase() === "authorization")?.[1]).toBe("Bearer its-own-key");
      expect((await ask(to, "/", { headers: [NO_COOKIE] })).head.status).toBe(200);
    });

    test("that is open to the public shows its kernel none of its own tokens, which may be good again", async () => {
      const to = await stage().open({ upstream: echo().port, appMode: "inference", public: true });
      const other = await stage().open({ upstream: echo().port, appMode: "inference" });
      const seen = async (credential: Pair[]) =>
        told((await ask(to, "/", { headers: [NO_COOKIE, ...credential] })).body).pairs.filter(
          ([name]) => name.toLowerCase() === "authorization",
        );
      expect([await seen([await bearer(to)]), await seen([await bearer(to, "BackendAI")])]).toEqual([[], []]);
      // A program's own JWT is not ours to judge.
      const own = await bearer(other);
      expect(await seen([own])).toEqual([own]);
    });

    test("takes a WebSocket with its token, and none without", async () => {
      const to = await open(webSocketApp((peer) => peer.send(TEXT, "welcome")));
      const { head } = await ask(to, "/", { headers: [NO_COOKIE, ...handshake()] });
      expect(head.status).toBe(401);
      const peer = await connect(to, "/", [NO_COOKIE, await bearer(to)]);
      expect((await peer.next())?.payload.toString()).toBe("welcome");
    });

    line("H11", `a stream of ${EVENTS} tokens passes at once: each is there before the next is made`, async () => {
      let next = Promise.withResolvers<void>();
      const upstream = app(async ({ wire }) => {
        await wire.send(SSE);
        for (let at = 0; at < EVENTS; at++) {
          await wire.send(chunk(`data: ${at}\n\n`));
          await next.promise;
          next = Promise.withResolvers();
        }
        await wire.send(chunk(""));
      });
      const client = await withToken(await open(upstream), "/v1/chat/completions", { method: "POST", body: "{}" });
      for (let at = 0; at < EVENTS; at++) {
        await client.readThrough(`data: ${at}\n\n`);
        next.resolve();
      }
    });

    line("H11", `a stream of ${EVENTS} tokens that are made as fast as can be comes whole and in order`, async () => {
      const upstream = app(async ({ wire }) => {
        await wire.send(SSE);
        for (let at = 0; at < EVENTS; at++) await wire.send(chunk(`data: ${at}\n\n`));
        await wire.send(chunk(""));
      });
      const client = await withToken(await open(upstream), "/v1/chat/completions", { method: "POST", body: "{}" });
      const { bytes, complete } = await client.body(await finalHead(client));
      const wanted = Array.from({ length: EVENTS }, (_, at) => `data: ${at}\n\n`).join("");
      expect([complete, bytes.toString() === wanted]).toEqual([true, true]);
    });

    for (const [when, begun] of [
      ["while the model thinks", false],
      ["in mid-stream", true],
    ] as const)
      line("H9", `a client that leaves ${when} is heard by the model server within ${ABORT_MS} ms`, async () => {
        const upstream = app(async ({ wire }) => {
          if (begun) await wire.send(`${SSE}${chunk("data: 0\n\n").toString()}`);
          await wire.end();
        });
        const client = await withToken(await open(upstream), "/v1/chat/completions", { method: "POST", body: "{}" });
        const { wire } = await upstream.request();
        if (begun) await client.readThrough("data: 0");
        client.close();
        const left = performance.now();
        await wire.wait(() => wire.ended !== null, "the worker to end the model server's request", 5000);
        expect(performance.now() - left).toBeLessThan(owed(ABORT_MS));
      });

    line("R1", "open streams count: new ones go where the fewest are, until all have the same", async () => {
      const servers = Array.from({ length: 3 }, () => app(({ wire }) => wire.send(`${SSE}${chunk("data: 0\n\n").toString()}`))); // prettier-ignore
      const to = await open(...servers);
      const load = () => servers.map((one) => one.open());
      const streams: Wire[] = [];
      const add = async (count: number) => {
        for (let at = 0; at < count; at++) {
          const client = await withToken(to, "/v1/chat/completions", { method: "POST", body: "{}" });
          await client.readThrough("data: 0");
          streams.push(client);
        }
      };
      await add(12);
      expect(load()).toEqual([4, 4, 4]);
      // Three of the first server's streams and one of the second's end.
      const [first, second] = servers;
      if (first === undefined || second === undefined) throw new Error("three servers");
      const ending = [...first.wires.slice(0, 3), ...second.wires.slice(0, 1)];
      for (const wire of ending) await wire.send(chunk(""));
      await until(() => streams.filter((client) => client.text().endsWith("0\r\n\r\n")).length === 4);
      // Connections are kept for the next request: what is open is what is asked and not answered.
      const before = servers.map((one) => one.asked.length);
      await add(4);
      expect(servers.map((one, at) => one.asked.length - (before[at] ?? 0))).toEqual([3, 1, 0]);
    });

    test("without a kernel answers 503, with its token", async () => {
      const to = await stage().open({ appMode: "inference" });
      const headers: Pair[] = [NO_COOKIE, await bearer(to), ["Accept", "application/json"]];
      const { head, body } = await ask(to, "/", { headers });
      expect([head.status, JSON.parse(body.bytes.toString())]).toEqual([
        503,
        expect.objectContaining({ type: "https://api.backend.ai/probs/service-unavailable" }),
      ]);
    });

    test("answers what its model server answers", async () => {
      const upstream = app(({ wire }) => wire.send(answer(429, [["Retry-After", "7"]], '{"error":"busy"}')));
      const to = await open(upstream);
      const { head, body } = await ask(to, "/", { headers: [NO_COOKIE, await bearer(to)] });
      expect([head.status, head.get("retry-after"), body.bytes.toString()]).toEqual([429, "7", '{"error":"busy"}']);
    });
  });
}

// --- internal ---

const NO_COOKIE: Pair = ["Cookie", "none=1"];

/** The header that a client of the circuit sends. */
async function bearer({ circuit }: Opened, scheme = "Bearer", { exp = SOON, secret = JWT_SECRET } = {}): Promise<Pair> {
  return ["Authorization", `${scheme} ${await mintInferenceToken({ id: circuit.id, user: "u" }, exp, secret)}`];
}
