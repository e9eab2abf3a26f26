/** A name that leads to the app, in the Bun engine: the connect limit holds for it too, and so does the end of a request. */
import { expect, test } from "bun:test";
import { upstreamFault } from "../../../../worker/core/failure.ts";
import { bunEngine } from "../../../../worker/engine/bun/engine.ts";
import { CONNECT_LIMIT_MS } from "../../../../worker/net/dial.ts";
import type { Target } from "../../../../worker/net/targets.ts";
import { RouteAttempt } from "../../../../worker/upstreams/attempt.ts";
import { RoutePool } from "../../../../worker/upstreams/pool.ts";
import { blackhole } from "../../../contract/blackhole.ts";
import { atEnd } from "../../../support/at-end.ts";
import { named } from "../../../support/beside.ts";
import { ALONE } from "../../../support/listening.ts";
import { owed } from "../../../support/owed.ts";
import { until } from "../../../support/until.ts";
import { route, untold } from "../../../support/values.ts";

/** A listener of an app whose name leads to what this resolves with, and what is on its way to the app. */
function front(port: number, addresses: Target["addresses"]) {
  const target: Target = { host: "kernel", port, addresses };
  const pool = new RoutePool({
    policy: "round_robin",
    now: Date.now,
    random: Math.random,
    targets: () => target,
    out: () => undefined,
  });
  pool.set([route()], 0);
  const [upstream] = pool.upstreams;
  if (upstream === undefined) throw new Error("no upstream");
  const none = { remove: [], set: [], add: [] };
  const listener = bunEngine.listen(ALONE, {
    ...named("kernel"),
    decide: () => ({
      kind: "forward",
      circuit: null,
      attempt: new RouteAttempt(pool, upstream, untold, "request"),
      edits: none,
      answerEdits: () => none,
      repeatable: false,
      mayTrail: () => false,
      answered: undefined,
    }),
    failed: (failure) => ({ status: failure.httpStatus, headers: [], body: failure.message }),
    upstreamFault,
  });
  atEnd(() => listener.close("now"));
  const ask = (init?: RequestInit) => fetch(`http://127.0.0.1:${listener.port}/`, init);
  return { ask, upstream };
}

const never = () => new Promise<string[]>(() => undefined);

test("a name without an answer is 504 after the connect limit, as is an app that takes no connection after one; a slow answer is none of it", async () => {
  const hole = await blackhole();
  atEnd(() => hole.stop());
  const slow = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => Bun.sleep(CONNECT_LIMIT_MS - 2000).then(() => new Response("at last")),
  });
  atEnd(() => slow.stop(true));
  // When a request without a connection is looked at for the first time, it has no address yet.
  const lookup = () => Bun.sleep(CONNECT_LIMIT_MS / 2).then(() => ["127.0.0.1"]);
  const began = performance.now();
  const asked = [front(1, never), front(hole.port, lookup)].map(async ({ ask }) => {
    const { status } = await ask();
    return [status, performance.now() - began] as const;
  });
  const answered = front(slow.port ?? 0, lookup).ask();
  for (const [status, took] of await Promise.all(asked)) {
    expect(status).toBe(504);
    expect(took).toBeGreaterThan(CONNECT_LIMIT_MS - 500);
    expect(took).toBeLessThan(owed(CONNECT_LIMIT_MS + 4000));
  }
  expect(await (await answered).text()).toBe("at last");
}, 120_000);

test("a route that goes is told at once to who waits for its name", async () => {
  const { ask, upstream } = front(1, never);
  const asked = ask();
  await until(() => upstream.open === 1);
  for (const one of upstream.carried) one.close();
  expect((await asked).status).toBe(503);
  expect(upstream.open).toBe(0);
});

test("a client that leaves while its app's name is looked up is heard", async () => {
  const { ask, upstream } = front(1, never);
  const client = new AbortController();
  const asked = ask({ signal: client.signal }).catch((error: unknown) => error);
  await until(() => upstream.open === 1);
  client.abort();
  await asked;
  await until(() => upstream.open === 0);
  expect(upstream.failures).toBe(0);
});

test("a name's address that refuses is dialled no more when another one is there", async () => {
  const serve = (hostname: string, port: number) => {
    const server = Bun.serve({
      hostname,
      port,
      fetch: () => new Response(hostname, { headers: { Connection: "close" } }),
    });
    atEnd(() => server.stop(true));
    return server;
  };
  const first = serve("127.0.0.2", 0);
  serve("127.0.0.3", first.port ?? 0);
  const { ask } = front(first.port ?? 0, () => ["127.0.0.2", "127.0.0.3"]);
  expect(await (await ask()).text()).toBe("127.0.0.2");
  await first.stop(true);
  // What is known of the first one is found wrong by a request at most.
  const { status } = await ask();
  expect(status === 200 || status === 502).toBe(true);
  expect(await (await ask()).text()).toBe("127.0.0.3");
});
