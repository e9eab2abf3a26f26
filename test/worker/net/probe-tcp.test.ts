/** Who refuses: an address that says no, and nothing else. */
import { afterEach, expect, test } from "bun:test";
import { probeTcp } from "../../../worker/net/probe-tcp.ts";
import { blackhole } from "../../contract/blackhole.ts";
import { freePort } from "../../support/ports.ts";
import { judged } from "../../../worker/net/targets.ts";

let stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function listening(hostname: string): number {
  const server = Bun.listen({ hostname, port: 0, socket: { data: () => undefined } });
  stops.push(() => server.stop(true));
  return server.port;
}

test.each(["127.0.0.1", "localhost"])(
  "%s accepts where somebody listens, and refuses where nobody does",
  async (host) => {
    expect(await probeTcp(judged(host, listening("127.0.0.1")))).toBe("accepted");
    expect(await probeTcp(judged(host, await freePort()))).toBe("refused");
  },
);

test("so does an IPv6 address", async () => {
  expect(await probeTcp(judged("::1", listening("::1")))).toBe("accepted");
  expect(await probeTcp(judged("::1", await freePort()))).toBe("refused");
});

test.each([
  ["a name that nobody knows", "no-such-host.invalid"],
  ["a network to which there is no way", "255.255.255.255"],
  ["an address that needs an interface's name", "fe80::1"],
])("%s proves nothing", async (_what, host) => {
  expect(await probeTcp(judged(host, 80))).toBe("unknown");
});

test("an address that answers nothing proves nothing", async () => {
  const hole = await blackhole();
  stops.push(() => hole.stop());
  expect(await probeTcp(judged("127.0.0.1", hole.port))).toBe("unknown");
});
