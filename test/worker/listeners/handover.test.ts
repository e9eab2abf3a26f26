/** Two processes on one port: which of them, and which of the listeners of the old one, has the new connections. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { bindAlone, bindShared } from "../../../worker/listeners/bind-shared.ts";
import type { Listener } from "../../../worker/listeners/types.ts";
import { canSteer } from "../../../worker/listeners/linux-reuseport.ts";
import { Succession } from "../../../worker/listeners/generations.ts";
import { forgetListening, listenersAt } from "../../../worker/listeners/linux-sockets.ts";
import { openNamed, sharingWith, startBeside, type Beside } from "../../support/beside.ts";
import { freePort } from "../../support/ports.ts";
import { until } from "../../support/until.ts";
import { atEnd } from "../../support/at-end.ts";

let beside: Beside;
let port: number;
let old: Listener | null = null;

beforeEach(async () => {
  beside = startBeside();
  port = await freePort();
  // The test before may have ended in this very turn of the event loop, for which the tables are kept.
  forgetListening();
});

afterEach(async () => {
  await Promise.all([beside.kill(), old?.close("now")]);
  old = null;
});

const openOld = (name: string) => (old = openNamed(name, port, sharingWith(beside.pid, "successor")));
const ask = async () => (await fetch(`http://127.0.0.1:${port}/`, { keepalive: false })).text();

/** Who answers fifty connections. */
async function who(): Promise<string> {
  const names = await Promise.all(Array.from({ length: 50 }, ask));
  return [...new Set(names)].toSorted().join();
}

describe.skipIf(!canSteer())("a port that two processes share", () => {
  test("is the old one's until it hands over, and the new one's from then on", async () => {
    const listener = openOld("old");
    await beside.open(port, "successor");
    expect(await who()).toBe("old");
    const closed = listener.close("finish", 100);
    expect(await who()).toBe("successor");
    await closed;
    expect(await who()).toBe("successor");
  });

  test("and that the new one opens anew for another circuit, while the old one drains, is the new one's", async () => {
    const listener = openOld("old, first circuit");
    await beside.open(port, "successor, first circuit");
    const closed = listener.close("finish", 5000);
    expect(await who()).toBe("successor, first circuit");
    await beside.close(port);
    await beside.open(port, "successor, second circuit");
    expect(await who()).toBe("successor, second circuit");
    await listener.close("now");
    await closed;
    expect(await who()).toBe("successor, second circuit");
  });

  test("and that both open at once for a new circuit is the old one's, though the new one was faster", async () => {
    await beside.open(port, "successor");
    const listener = openOld("old");
    expect(await who()).toBe("old");
    const closed = listener.close("finish", 100);
    expect(await who()).toBe("successor");
    await closed;
    expect(await who()).toBe("successor");
  });

  test("and that the new one opens only a moment after the old one wanted to hand over, is never closed", async () => {
    const listener = openOld("old");
    const closed = listener.close("finish", 5000);
    for (let round = 0; round < 3; round++) expect(await ask()).toBe("old");
    await beside.open(port, "successor");
    await until(async () => (await who()) === "successor");
    await listener.close("now");
    await closed;
    expect(await who()).toBe("successor");
  });

  test("many times over, at the very same moment, leads to one that serves and fails in neither", async () => {
    for (let round = 0; round < 30; round++) {
      port = await freePort();
      const opened = beside.open(port, "successor");
      if (round % 2 === 0) await Bun.sleep(0);
      const listener = openOld("old");
      await opened;
      expect(await who()).toBe("old");
      const closed = listener.close("finish", 50);
      expect(await who()).toBe("successor");
      await closed;
      await beside.close(port);
    }
  });

  test("is not opened on a foreign process's, which listens at the same address, and is when its own is another one", async () => {
    const listen = (hostname: string) => Bun.listen({ hostname, port, socket: { data: () => undefined } });
    const foreign = listen("127.0.0.1");
    expect(() => openOld("old")).toThrow(`port ${port} is in use by another process`);
    foreign.stop(true);
    const elsewhere = listen("127.0.0.9");
    atEnd(() => elsewhere.stop(true));
    openOld("old");
    await beside.open(port, "successor");
    expect(await who()).toBe("old");
  });
});

const serve = (name: string) =>
  Bun.serve({ hostname: "127.0.0.1", port, reusePort: true, fetch: () => new Response(name) });

describe.skipIf(!canSteer())("a port at which the new one's check stood when the old one looked who is there", () => {
  let servers: Succession<Bun.Server<undefined>>;
  afterEach(() => servers.stop(true));

  /** The old one opens it; `meanwhile` the new one does something, after which it has `wanted` listeners there. */
  async function openOldWhile(meanwhile: () => Promise<void>, wanted: number): Promise<void> {
    await beside.check(port);
    const checks = listenersAt("127.0.0.1", port);
    expect(checks).toHaveLength(1);
    let isFirst = true;
    let done = Promise.resolve();
    const opened = bindShared({ hostname: "127.0.0.1", port, sharing: sharingWith(beside.pid, "successor") }, () => {
      if (isFirst) done = meanwhile();
      isFirst = false;
      // In this very turn, as it is for a worker.
      for (const end = performance.now() + 10_000; performance.now() < end; Bun.sleepSync(1)) {
        forgetListening();
        const there = listenersAt("127.0.0.1", port);
        if (there.length === wanted && !there.some((inode) => checks.includes(inode))) break;
      }
      return serve("old");
    });
    servers = new Succession(opened);
    await done;
  }

  test("and that the new one opens first, is left to it", async () => {
    await openOldWhile(() => beside.open(port, "successor"), 1);
    expect(await who()).toBe("old");
    const handed = servers.handOver(100);
    expect(await who()).toBe("successor");
    await handed;
  });

  test("and that the new one opens behind it, is the old one's until then", async () => {
    await openOldWhile(() => beside.close(port), 0);
    await beside.open(port, "successor");
    expect(await who()).toBe("old");
    const handed = servers.handOver(100);
    expect(await who()).toBe("successor");
    await handed;
  });
});

describe.skipIf(!canSteer())("the old one's second listener, of a renewal", () => {
  let servers: Succession<Bun.Server<undefined>>;
  afterEach(() => servers.stop(true));

  function start(lingerMs?: number): void {
    const neighbours = { others: [], sharing: sharingWith(beside.pid, "successor") };
    servers = new Succession({ ...bindAlone(() => serve("old")), neighbours }, lingerMs);
  }

  test("keeps all connections when a successor comes, and when that fails", async () => {
    start();
    servers.renew(() => serve("new"));
    expect(await who()).toBe("new");
    await beside.open(port, "successor");
    expect(await who()).toBe("new");
    await beside.kill();
    expect(await who()).toBe("new");
  });

  test("gets all back when a successor that came before it fails: the places have changed", async () => {
    start();
    await beside.open(port, "successor");
    servers.renew(() => serve("new"));
    expect(await who()).toBe("new");
    await beside.kill();
    await until(async () => (await who()) === "new");
    await Bun.sleep(0);
    expect(await who()).toBe("new");
  });

  test("has them all when the first one goes while a successor is there", async () => {
    start(100);
    servers.renew(() => serve("new"));
    await beside.open(port, "successor");
    await until(() => servers.listeners === 1);
    expect(await who()).toBe("new");
  });

  // It takes the place of the one that has gone, or stands behind all.
  test.each(["before", "after"])("has them all when a successor comes a moment %s the first one goes", async (when) => {
    const first = bindAlone(() => serve("old"));
    const stop = first.listener.stop.bind(first.listener);
    let come: Promise<void> | undefined;
    const comes = () => {
      const there = listenersAt("127.0.0.1", port).length;
      come = beside.open(port, "successor");
      // In this very turn, in which the tables have been read.
      for (const end = performance.now() + 10_000; performance.now() < end; Bun.sleepSync(1)) {
        forgetListening();
        if (listenersAt("127.0.0.1", port).length > there) return;
      }
    };
    first.listener.stop = async (now) => {
      if (when === "before") comes();
      const stopped = stop(now);
      forgetListening();
      if (when === "after") comes();
      await stopped;
    };
    const neighbours = { others: [], sharing: sharingWith(beside.pid, "successor") };
    servers = new Succession({ ...first, neighbours }, 100);
    servers.renew(() => serve("new"));
    await until(() => servers.listeners === 1);
    await come;
    expect(await who()).toBe("new");
    const handed = servers.handOver(100);
    expect(await who()).toBe("successor");
    await handed;
  });
});
