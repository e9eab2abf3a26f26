/** A process of several leaves its ports to the others: nothing comes to it any more, and nothing that came is lost. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Lanes, Listener, Sharing } from "../../../worker/listeners/types.ts";
import { canSteer, openNoted } from "../../../worker/listeners/linux-reuseport.ts";
import { forgetListening, listenersAt, listenersOver } from "../../../worker/listeners/linux-sockets.ts";
import { atEnd } from "../../support/at-end.ts";
import { openNamed } from "../../support/beside.ts";
import { freePort } from "../../support/ports.ts";
import { KeptConnection } from "../../support/steady.ts";
import { until } from "../../support/until.ts";

/** Bun's types leave it out. */
const SHARED = { reusePort: true };

/** What each of the processes knows of the others; here they are listeners of one process. */
class Others implements Lanes {
  stay = true;
  readonly noted: number[] = [];
  readonly #acts = new Set<() => void>();

  othersStay = () => this.stay;
  isReplacing = () => false;
  serve = () => true;
  opened = (inode: number) => void this.noted.push(inode);
  onEnd(act: () => void): () => void {
    this.#acts.add(act);
    return () => void this.#acts.delete(act);
  }

  /** Another process has ended. */
  ended(): void {
    for (const act of this.#acts) act();
  }

  get followed(): number {
    return this.#acts.size;
  }
}

let port: number;
let others: Others;
let open: Listener[];
/** Listeners of other programs. */
let foreign: Set<number>;

beforeEach(async () => {
  port = await freePort();
  others = new Others();
  open = [];
  foreign = new Set();
  // The test before may have ended in this very turn of the event loop, for which the tables are kept.
  forgetListening();
});
afterEach(() => Promise.all(open.map((listener) => listener.close("now"))));

function join(name: string): Listener {
  const sharing: Sharing = {
    sideOf: (inode) => (foreign.has(inode) ? "foreign" : "lane"),
    isNew: () => false,
    hasSibling: () => true,
    alone: Promise.resolve(),
    lanes: others,
  };
  const listener = openNamed(name, port, sharing);
  open.push(listener);
  return listener;
}

/** Who answers, of a hundred connections. */
async function who(): Promise<string> {
  const ask = async () => (await fetch(`http://127.0.0.1:${port}/`, { keepalive: false })).text();
  const names = new Set<string>();
  for (let round = 0; round < 5; round++)
    for (const name of await Promise.all(Array.from({ length: 20 }, ask))) names.add(name);
  return [...names].toSorted().join();
}

describe.skipIf(!canSteer())("a port that several processes share", () => {
  test("is each one's, in whatever order they have come; and each is known to the others", async () => {
    for (const name of ["a", "b", "c"]) join(name);
    expect(await who()).toBe("a,b,c");
    expect(new Set(others.noted).size).toBe(3);
  });

  test.each(["127.0.0.1", "0.0.0.0"])("is not shared with a foreign process that listens at %s", async (hostname) => {
    const silent = { data: () => undefined };
    const { listener, socket } = openNoted(() => Bun.listen({ hostname, port, ...SHARED, socket: silent }));
    atEnd(() => listener.stop(true));
    foreign.add(socket.inode);
    expect(() => join("a")).toThrow(`port ${port} is in use by another process`);
    expect(listenersOver("127.0.0.1", port)).toEqual([socket.inode]);
    const elsewhere = await freePort();
    const other = Bun.listen({ hostname: "127.0.0.9", port: elsewhere, ...SHARED, socket: silent });
    atEnd(() => other.stop(true));
    foreign = new Set(listenersAt("127.0.0.9", elsewhere));
    port = elsewhere;
    join("a");
    expect(await who()).toBe("a");
  });

  test.each(["a", "b", "c"])("is left by %s: the others have all connections from then on", async (leaving) => {
    const listeners = new Map(["a", "b", "c"].map((name) => [name, join(name)]));
    const rest = ["a", "b", "c"].filter((name) => name !== leaving).join();
    const closed = listeners.get(leaving)?.close("finish", 60_000);
    await until(async () => (await who()) === rest);
    // Another one that comes changes the numbers of all.
    join("d");
    await until(async () => (await who()) === `${rest},d`);
    await listeners.get(leaving)?.close("now");
    await closed;
    // The kernel still leaves that place out, and another one stands there: until the end is told.
    others.ended();
    expect(await who()).toBe(`${rest},d`);
  });

  test("tells a connection of the one that leaves to come back", async () => {
    const leaving = join("a");
    const kept = new KeptConnection();
    expect(await kept.ask(port, "Host: a\r\n")).toBeNull();
    expect(kept.isOpen).toBe(true);
    join("b");
    const closed = leaving.close("finish", 60_000);
    await until(async () => {
      expect(await kept.ask(port, "Host: a\r\n")).toBeNull();
      return !kept.isOpen;
    });
    await leaving.close("now");
    await closed;
    expect(await who()).toBe("b");
  });

  test("is closed at once when all stop, and forgotten", async () => {
    const [first] = [join("a"), join("b")];
    others.stay = false;
    const began = performance.now();
    await first.close("finish", 60_000);
    expect(performance.now() - began).toBeLessThan(30_000);
    expect(await who()).toBe("b");
    expect(others.followed).toBe(1);
  });

  test("is closed when nobody else is there", async () => {
    const only = join("a");
    others.stay = false;
    await only.close("finish", 60_000);
    expect(await fetch(`http://127.0.0.1:${port}/`, { keepalive: false }).then(String, () => "refused")).toBe("refused"); // prettier-ignore
  });
});
