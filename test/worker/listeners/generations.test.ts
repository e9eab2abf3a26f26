/** Servers that follow each other on one port: new connections go to the newest, the others serve what they have. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { bindAlone } from "../../../worker/listeners/bind-shared.ts";
import { forgetListening, listenersAt } from "../../../worker/listeners/linux-sockets.ts";
import { Succession } from "../../../worker/listeners/generations.ts";
import { atEnd } from "../../support/at-end.ts";
import { until } from "../../support/until.ts";

type Server = Bun.Server<undefined>;

let port = 0;
let servers: Succession<Server>;
let gate: PromiseWithResolvers<void>;

function serve(name: string): Server {
  return Bun.serve({
    hostname: "127.0.0.1",
    port,
    reusePort: true,
    async fetch({ url }) {
      if (url.endsWith("/wait")) await gate.promise;
      return new Response(name);
    },
  });
}

beforeEach(() => {
  gate = Promise.withResolvers();
  port = 0;
  const first = bindAlone(() => serve("a"));
  port = first.listener.port ?? 0;
  servers = new Succession(first, 1000);
});

afterEach(() => servers.stop(true));

const ask = async (path = "/") => (await fetch(`http://127.0.0.1:${port}${path}`, { keepalive: false })).text();

/** Who answers a hundred connections. */
async function who(): Promise<string> {
  const names = await Promise.all(Array.from({ length: 100 }, () => ask()));
  return [...new Set(names)].join("");
}

test("each new server has all new connections at once, however fast they follow each other", async () => {
  for (const name of ["b", "c", "d"]) {
    servers.renew(() => serve(name));
    expect(await who()).toBe(name);
  }
});

test("the newest keeps them while the old ones go, and what comes later has them too", async () => {
  for (const name of ["b", "c", "d"]) servers.renew(() => serve(name));
  await until(() => servers.listeners === 1);
  expect(await who()).toBe("d");
  servers.renew(() => serve("e"));
  expect(await who()).toBe("e");
});

test("what runs on an old server finishes there", async () => {
  const waiting = ask("/wait");
  await until(async () => (await who()) === "a");
  servers.renew(() => serve("b"));
  await until(() => servers.listeners === 1);
  gate.resolve();
  expect(await waiting).toBe("a");
});

test("one that can't be opened changes nothing", async () => {
  expect(() =>
    servers.renew(() => {
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(await who()).toBe("a");
  servers.renew(() => serve("b"));
  expect(await who()).toBe("b");
});

test("a stop ends them all, also those that are on their way out", async () => {
  servers.renew(() => serve("b"));
  servers.renew(() => serve("c"));
  await servers.stop(false);
  expect(await ask().catch(String)).toContain("ECONNREFUSED");
});

test("another process that comes just before a new server is opened gets none of its connections", async () => {
  servers.renew(() => {
    const options = `{ hostname: "127.0.0.1", port: ${port}, reusePort: true, fetch: () => new Response("foreign") }`;
    const other = Bun.spawn([process.execPath, "-e", `Bun.serve(${options})`]);
    atEnd(() => other.kill());
    for (let waited = 0; listeners() < 2; waited++) {
      if (waited > 5000) throw new Error("the other process does not listen");
      Bun.sleepSync(10);
    }
    return serve("b");
  });
  expect(await who()).toBe("b");
});

function listeners(): number {
  forgetListening();
  return listenersAt("127.0.0.1", port).length;
}
