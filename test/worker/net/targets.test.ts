/** What is dialled is what was judged: addresses, names whose answer changes, our own listeners; several addresses in turn. */
import { describe, expect, test } from "bun:test";
import { addressMatcher } from "../../../shared/http/addresses.ts";
import { KERNEL_CIDRS } from "../../../shared/http/kernel.ts";
import { createListeners } from "../../../shared/runtime/listeners.ts";
import { dial, reach } from "../../../worker/net/dial.ts";
import { oneAddress } from "../../../worker/net/one-address.ts";
import { probeHttp } from "../../../worker/net/probe-http.ts";
import { createTargets, type Target } from "../../../worker/net/targets.ts";
import { UpstreamFault } from "../../../worker/net/upstream-fault.ts";
import { blackhole } from "../../contract/blackhole.ts";
import { atEnd } from "../../support/at-end.ts";
import { freePort } from "../../support/ports.ts";

/** Targets of a world in which names have these addresses, asked for one by one; the last answer stays. */
function world(names: Record<string, string[][]> = {}, own: { service?: number; frontend?: number } = {}) {
  const asked: string[] = [];
  const targets = createTargets({
    isKernels: addressMatcher(KERNEL_CIDRS),
    services: createListeners(own.service === undefined ? [] : [{ host: "127.0.0.1", port: own.service }], (host) => [
      host,
    ]),
    frontend: { has: (port) => port === own.frontend, leadsTo: async (address) => address === "127.0.0.1" },
    resolve(host) {
      asked.push(host);
      const answers = names[host] ?? [];
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      return answer === undefined ? Promise.reject(new Error("ENOTFOUND")) : Promise.resolve(answer);
    },
  });
  return { targets, asked };
}

/** How it went: the address that was connected to, or the kind of fault. */
async function outcome(target: Target): Promise<string> {
  const ignore = () => undefined;
  const { socket } = dial(target, undefined, { data: ignore, error: ignore });
  try {
    const made = await socket;
    const { remoteAddress } = made;
    made.terminate();
    return remoteAddress;
  } catch (error) {
    return error instanceof UpstreamFault ? `${error.kind}: ${error.message}` : String(error);
  }
}

/** An app on 127.0.0.1 and how many connections it got. */
function app(hostname = "127.0.0.1", port = 0) {
  let connections = 0;
  const open = () => void connections++;
  const server = Bun.listen({ hostname, port, socket: { open, data: () => undefined } });
  atEnd(() => server.stop(true));
  return { port: server.port, connections: () => connections };
}

describe("an address", () => {
  test("in the ranges of kernels is dialled", async () => {
    const { port } = app();
    expect(await outcome(world().targets("127.0.0.1", port))).toBe("127.0.0.1");
  });

  test.each(["8.8.8.8", "169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "::"])(
    "%s is not dialled",
    async (host) => {
      expect(await outcome(world().targets(host, 80))).toStartWith(`refused: ${host}: wanted`);
    },
  );

  test("of a service of the platform's own is not dialled, by whatever address of this machine", async () => {
    const { port, connections } = app("0.0.0.0");
    const { targets } = world({}, { service: port });
    for (const host of ["127.0.0.1", "127.9.9.9"])
      expect(await outcome(targets(host, port))).toBe("refused: a listener of the platform's own is there");
    expect(connections()).toBe(0);
  });

  test("where circuits are listened for is not dialled, and is again when that has ended", async () => {
    const { port, connections } = app();
    const own: { frontend?: number } = { frontend: port };
    const target = world({}, own).targets("127.0.0.1", port);
    expect(await outcome(target)).toStartWith("refused");
    expect(connections()).toBe(0);
    delete own.frontend;
    expect(await outcome(target)).toBe("127.0.0.1");
  });
});

describe("a name", () => {
  test("is resolved anew for each connection, and what was judged is dialled: an answer that turns bad gets nothing", async () => {
    const { port, connections } = app();
    const { targets, asked } = world({ kernel: [["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]] });
    const target = targets("kernel", port);
    expect([await outcome(target), await outcome(target), await outcome(target)]).toEqual([
      "127.0.0.1",
      "refused: 169.254.169.254: wanted an address that a kernel can have",
      "127.0.0.1",
    ]);
    expect([asked.length, connections()]).toEqual([3, 2]);
  });

  test("of a listener of the platform's own is not dialled", async () => {
    const { port, connections } = app();
    const { targets } = world({ kernel: [["127.0.0.1"]] }, { service: port });
    expect(await outcome(targets("kernel", port))).toStartWith("refused");
    expect(connections()).toBe(0);
  });

  test("with good and bad addresses leads to the good ones alone", async () => {
    const { port } = app();
    const { targets } = world({ kernel: [["8.8.8.8", "127.0.0.1"]] });
    expect(await outcome(targets("kernel", port))).toBe("127.0.0.1");
  });

  test("that nobody knows is unreachable", async () => {
    expect(await outcome(world().targets("kernel", 80))).toBe("unreachable: ENOTFOUND");
    expect(await outcome(world({ kernel: [[]] }).targets("kernel", 80))).toStartWith("unreachable");
  });

  test("with several addresses: where one refuses or says nothing, the next is tried", async () => {
    const hole = await blackhole();
    atEnd(() => hole.stop());
    const live = app("127.0.0.3", hole.port);
    const { targets } = world({ kernel: [["127.0.0.2", "127.0.0.1", "127.0.0.3"]] });
    const target = targets("kernel", hole.port);
    expect(await outcome(target)).toBe("127.0.0.3");
    expect(await reach(target)).toBe(true);
    // `fetch` gets the one that accepts.
    expect(await oneAddress(target, new AbortController().signal)).toBe("127.0.0.3");
    expect(live.connections()).toBeGreaterThanOrEqual(3);
  });

  test("whose addresses all refuse is unreachable", async () => {
    const { targets } = world({ kernel: [["127.0.0.1", "127.0.0.2"]] });
    expect(await outcome(targets("kernel", await freePort()))).toStartWith("unreachable");
  });
});

test("a probe asks the address that was judged, by the name", async () => {
  const hosts: (string | null)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ headers }) {
      hosts.push(headers.get("host"));
      return new Response("", { status: 204 });
    },
  });
  atEnd(() => server.stop(true));
  const port = server.port ?? 0;
  const { targets } = world({ kernel: [["127.0.0.1"], ["8.8.8.8"]] });
  const target = targets("kernel", port);
  expect(await probeHttp(target, "/", 10_000)).toBe(204);
  expect(hosts).toEqual([`kernel:${port}`]);
  expect(await probeHttp(target, "/", 10_000).catch(String)).toContain("8.8.8.8");
});
