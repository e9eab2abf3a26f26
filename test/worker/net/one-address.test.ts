/** The address for `fetch`: how long it is looked for, who shares a try at several addresses, and when another one is taken. */
import { describe, expect, test } from "bun:test";
import { forgetAddress, oneAddress } from "../../../worker/net/one-address.ts";
import { probeHttp } from "../../../worker/net/probe-http.ts";
import { judged, type Target } from "../../../worker/net/targets.ts";
import { UpstreamFault } from "../../../worker/net/upstream-fault.ts";
import { blackhole } from "../../contract/blackhole.ts";
import { atEnd } from "../../support/at-end.ts";
import { until } from "../../support/until.ts";

/** Nobody gives up. */
const patient = () => new AbortController().signal;
const ask = async (target: Target) => oneAddress(target, patient());
const gone = new UpstreamFault("revoked", "gone");

/** A name with these addresses, asked for one after the other; the last answer stays. */
function named(port: number, ...answers: string[][]): Target {
  return { host: "kernel", port, addresses: async () => (answers.length > 1 ? answers.shift() : answers[0]) ?? [] };
}

/** A name that nobody knows yet. */
const unknown: Target = { host: "kernel", port: 1, addresses: () => new Promise(() => undefined) };

/** An app that does this with each connection, and how many it got. */
function app(hostname: string, port = 0, opened: (socket: Bun.Socket) => unknown = () => undefined) {
  let connections = 0;
  const open = (socket: Bun.Socket) => {
    connections++;
    opened(socket);
  };
  const server = Bun.listen({ hostname, port, socket: { open, data: () => undefined } });
  atEnd(() => server.stop(true));
  return {
    port: server.port,
    stop: () => server.stop(true),
    /** Connections are accepted in order: one of ours that is there comes after all others. */
    async connections() {
      const before = connections;
      const marker = await Bun.connect({ hostname, port: server.port, socket: { data: () => undefined } });
      await until(() => connections > before);
      marker.terminate();
      return connections - 1;
    },
  };
}

/** A port at which 127.0.0.1 says nothing. */
async function hole(): Promise<number> {
  const there = await blackhole();
  atEnd(() => there.stop());
  return there.port;
}

function faultOf(asked: string | Promise<string>): Promise<unknown> {
  return Promise.resolve(asked).then(
    (address) => address,
    (fault: unknown) => fault,
  );
}

test("an address is its own at once, also for who is about to leave", () => {
  expect(oneAddress(judged("127.0.0.1", 1), AbortSignal.abort())).toBe("127.0.0.1");
});

describe("what takes long ends", () => {
  const there = async () => named(await hole(), ["127.0.0.1", "127.0.0.1"]);

  test.each([
    ["a lookup", async () => unknown],
    ["a try at its addresses", there],
  ])("%s: when the request ends, with its reason", async (_what, target) => {
    const control = new AbortController();
    const asked = faultOf(oneAddress(await target(), control.signal));
    // A lookup that is answered has led to a try by now.
    await new Promise(setImmediate);
    control.abort(gone);
    expect(await asked).toBe(gone);
  });

  test.each([
    ["a lookup", async () => unknown],
    ["a try at its addresses", there],
  ])("%s: when the limit is over", async (_what, target) => {
    const fault = await faultOf(oneAddress(await target(), patient(), 50));
    expect(fault).toBeInstanceOf(UpstreamFault);
    expect((fault as UpstreamFault).kind).toBe("late");
  });

  test("a lookup of who has left before", async () => {
    expect(await faultOf(oneAddress(unknown, AbortSignal.abort(gone)))).toBe(gone);
  });

  test("a probe, when its time is over", async () => {
    const asked = probeHttp(unknown, "/", 50).then(
      () => null,
      (error: unknown) => error,
    );
    expect(await asked).toHaveProperty("name", "TimeoutError");
  });

  test("a try that nobody waits for: no further address is dialled", async () => {
    const port = await hole();
    const live = app("127.0.0.3", port);
    const target = named(port, ["127.0.0.1", "127.0.0.3"]);
    const control = new AbortController();
    const asked = faultOf(oneAddress(target, control.signal));
    await new Promise(setImmediate);
    control.abort(gone);
    await asked;
    // A try of its own, which comes to the second address later than the first one would.
    expect(await ask(named(port, ["127.0.0.1", "127.0.0.3"]))).toBe("127.0.0.3");
    expect(await live.connections()).toBe(1);
  });
});

describe("of several addresses", () => {
  test("one try is made for all who ask at once, and it goes on when one of them leaves", async () => {
    const port = await hole();
    const live = app("127.0.0.3", port);
    const target = named(port, ["127.0.0.1", "127.0.0.3"]);
    const control = new AbortController();
    const first = faultOf(oneAddress(target, control.signal));
    const others = Array.from({ length: 200 }, () => ask(target));
    await new Promise(setImmediate);
    control.abort(gone);
    expect(await first).toBe(gone);
    expect(new Set(await Promise.all(others))).toEqual(new Set(["127.0.0.3"]));
    expect(await live.connections()).toBe(1);
  });

  test("nobody gets one that is not among those that were judged for it", async () => {
    const port = await hole();
    app("127.0.0.2", port);
    app("127.0.0.3", port);
    const target = named(port, ["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.3"]);
    const both = [ask(target), ask(target)];
    expect(await Promise.all(both)).toEqual(["127.0.0.2", "127.0.0.3"]);
  });

  test("one whose app resets each connection has accepted: it is given", async () => {
    const { port } = app("127.0.0.1", 0, (socket) => socket.terminate());
    expect(await ask(named(port, ["127.0.0.1", "127.0.0.2"]))).toBe("127.0.0.1");
  });

  test("one at which nobody is any more is given no more", async () => {
    const first = app("127.0.0.2");
    app("127.0.0.3", first.port);
    const target = named(first.port, ["127.0.0.2", "127.0.0.3"]);
    expect(await ask(target)).toBe("127.0.0.2");
    first.stop();
    forgetAddress(target, "127.0.0.2");
    expect(await ask(target)).toBe("127.0.0.3");
  });

  test("a failure is nobody's but theirs who waited for it", async () => {
    const { port } = app("127.0.0.9");
    const target = named(port, ["127.0.0.2", "127.0.0.3"]);
    expect(await faultOf(ask(target))).toHaveProperty("kind", "unreachable");
    app("127.0.0.3", port);
    expect(await ask(target)).toBe("127.0.0.3");
  });
});
