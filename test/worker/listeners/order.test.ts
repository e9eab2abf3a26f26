/** The places of a shared port's listeners, as the kernel counts them. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Side } from "../../../worker/listeners/types.ts";
import { ListenerOrder } from "../../../worker/listeners/order.ts";
import { listenersAt, listenersBeside } from "../../../worker/listeners/linux-sockets.ts";
import { canSteer, openNoted, steer, type OwnSocket } from "../../../worker/listeners/linux-reuseport.ts";

const [a, b, c] = [{ name: "a" }, { name: "b" }, { name: "c" }];

/** The other processes' listeners of the tests: the old process's are 4xx, the successor's 5xx. */
const sideOf = (inode: number): Side => (inode < 500 ? "old" : inode < 600 ? "successor" : "foreign");
const orderOf = (first: object, others: readonly number[] = []) => new ListenerOrder(first, others, sideOf);

describe("ours", () => {
  test("stand in the order in which they came", () => {
    const order = orderOf(a);
    order.joined(b);
    expect([order.newest, order.own]).toEqual([1, [a, b]]);
  });

  test("give their place to the last when they leave", () => {
    const order = orderOf(a);
    order.joined(b);
    order.joined(c);
    order.left(a);
    expect([order.newest, order.own]).toEqual([0, [c, b]]);
    order.left(b);
    expect([order.newest, order.own]).toEqual([0, [c]]);
  });

  test("that leave twice change nothing", () => {
    const order = orderOf(a);
    order.joined(b);
    order.left(a);
    order.left(a);
    expect([order.newest, order.own]).toEqual([0, [b]]);
  });
});

test("whose places the kernel has told stand there, and the others between them", () => {
  const order = orderOf(a, [400]);
  order.seen([400, 501]);
  order.joined(b);
  expect([order.newest, order.successor]).toEqual([3, 2]);
  order.placed(new Map([[b, 1], [a, 3]])); // prettier-ignore
  expect([order.newest, order.successor, order.own, order.others]).toEqual([1, 2, [b, a], [400, 501]]);
  // One of which it could not be found out stays in its order.
  order.placed(new Map([[b, 0]]));
  expect([order.newest, order.successor, order.own]).toEqual([0, 2, [b, a]]);
});

describe("another process's", () => {
  test("that comes later is the successor", () => {
    const order = orderOf(a);
    expect(order.successor).toBe(-1);
    order.seen([501]);
    expect([order.successor, order.oldListens]).toEqual([1, false]);
  });

  test("that was there before is none, and ours stands behind it", () => {
    const order = orderOf(a, [400]);
    order.seen([400]);
    expect([order.newest, order.successor, order.oldListens]).toEqual([1, -1, true]);
  });

  test("may be the successor's though it was there before: both have opened the port of a new circuit", () => {
    const order = orderOf(a, [501]);
    expect([order.newest, order.successor, order.oldListens]).toEqual([1, 0, false]);
  });

  test("that was there before may renew its certificate: its second listener is no successor", () => {
    const order = orderOf(a, [400]);
    order.seen([400, 401]);
    expect([order.newest, order.successor]).toEqual([1, -1]);
    order.seen([401]);
    expect([order.newest, order.successor, order.oldListens]).toEqual([1, -1, true]);
    order.seen([]);
    order.seen([501]);
    expect([order.newest, order.successor]).toEqual([0, 1]);
  });

  test("that has gone leaves its place to ours", () => {
    const order = orderOf(a, [400]);
    order.seen([]);
    expect([order.newest, order.oldListens]).toEqual([0, false]);
    order.seen([502]);
    expect(order.successor).toBe(1);
  });

  test("stands between two of ours when a certificate was renewed after it came, and is followed by its own second", () => {
    const order = orderOf(a);
    order.seen([501]);
    order.joined(b);
    order.seen([501, 502]);
    expect([order.newest, order.successor]).toEqual([2, 3]);
    order.left(a);
    expect([order.newest, order.successor]).toEqual([2, 1]);
  });

  test("has its place, but is no successor when it is a foreign process's, until it says that it is none", () => {
    let side: Side = "foreign";
    const order = new ListenerOrder(a, [], () => side);
    order.seen([700]);
    order.joined(b);
    expect([order.newest, order.successor]).toEqual([2, -1]);
    side = "successor";
    order.seen([700]);
    expect(order.successor).toBe(1);
  });
});

describe.skipIf(!canSteer())("real listeners", () => {
  const open: Bun.TCPSocketListener[] = [];
  afterEach(() => open.splice(0).forEach((one) => one.stop(true)));

  /** Which of a port's listeners has taken a connection. */
  let taken = "";

  function listen(name: string, hostname: string, port: number): { socket: OwnSocket; port: number; stop: () => void } {
    const { listener, socket } = openNoted(() => Bun.listen({ hostname, port, ...SHARED, socket: accept(name) }));
    open.push(listener);
    return { socket, port: listener.port, stop: () => listener.stop(true) };
  }

  const SHARED = { reusePort: true };
  const accept = (name: string) => ({
    open(one: Bun.Socket) {
      taken = name;
      one.end();
    },
    data: () => undefined,
  });

  async function who(hostname: string, port: number): Promise<string> {
    taken = "";
    const over = Promise.withResolvers<void>();
    await Bun.connect({ hostname, port, socket: { data: () => undefined, close: () => over.resolve() } });
    await over.promise;
    return taken;
  }

  /** The names at the first places, as connections that are steered there tell them. */
  async function places(hostname: string, port: number, by: OwnSocket, count: number): Promise<string> {
    let names = "";
    for (let at = 0; at < count; at++) {
      expect(steer(by, at)).toBe(true);
      names += await who(hostname, port);
    }
    return names;
  }

  test.each(["127.0.0.1", "::1"])("of %s are counted as the model counts them", async (hostname) => {
    const first = listen("a", hostname, 0);
    const { port } = first;
    const [second, third, fourth] = [
      listen("b", hostname, port),
      listen("c", hostname, port),
      listen("d", hostname, port),
    ];
    const inodes = [first, second, third, fourth].map(({ socket }) => socket.inode);
    expect(await places(hostname, port, first.socket, 4)).toBe("abcd");
    expect(listenersAt(hostname, port).filter((inode) => inodes.includes(inode))).toEqual(inodes);
    first.stop();
    expect(await places(hostname, port, second.socket, 3)).toBe("dbc");
    second.stop();
    expect(await places(hostname, port, third.socket, 2)).toBe("dc");
    listen("e", hostname, port);
    expect(await places(hostname, port, third.socket, 3)).toBe("dce");
  });

  test("keep their steering when another one joins", async () => {
    const first = listen("a", "127.0.0.1", 0);
    expect(steer(first.socket, 0)).toBe(true);
    listen("b", "127.0.0.1", first.port);
    for (let round = 0; round < 20; round++) expect(await who("127.0.0.1", first.port)).toBe("a");
  });

  test("of the same port on another address are another group", async () => {
    const first = listen("a", "127.0.0.1", 0);
    const [other, beside] = [listen("b", "127.0.0.2", first.port), listen("c", "127.0.0.2", first.port)];
    expect(steer(first.socket, 0)).toBe(true);
    expect(steer(other.socket, 1)).toBe(true);
    for (let round = 0; round < 20; round++) expect(await who("127.0.0.2", first.port)).toBe("c");
    expect(await who("127.0.0.1", first.port)).toBe("a");
    expect(listenersBeside([other.socket.inode])).toEqual([beside.socket.inode]);
    expect(listenersBeside([first.socket.inode])).toEqual([]);
  });

  test("that are closed are not steered by, though their descriptor is another's by then", () => {
    const first = listen("a", "127.0.0.1", 0);
    first.stop();
    listen("b", "127.0.0.1", 0);
    expect(steer(first.socket, 0)).toBe(false);
  });
});
