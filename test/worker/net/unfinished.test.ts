/** What is reckoned of WebSocket messages that are not whole, from what the kernel says was read and what Bun has told of. */
import { describe, expect, test } from "bun:test";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { atEnd } from "../../support/at-end.ts";
import { until } from "../../support/until.ts";
import { acceptedAt, bytesRead, connectionKey } from "../../../shared/net/linux-accepted.ts";
import { Unfinished } from "../../../worker/net/unfinished.ts";

/** `fragments`: of a message of an app, which we join. */
function one(fragments = 0): Unfinished {
  const shed = () => undefined;
  return new Unfinished({ circuit: null, port: 1, peer: "127.0.0.1", peerPort: 2, ofApp: () => fragments, shed });
}

describe("a WebSocket holds", () => {
  test("what has come since its last whole message, with what its app has not ended", () => {
    const it = one(100);
    it.count(1000);
    expect(it.held).toBe(1100);
    it.count(5000);
    expect(it.held).toBe(5100);
    it.whole(5000 - 6);
    it.count(5000);
    expect(it.held).toBe(100);
  });

  test("of the heads of fragments and of TLS, which are not told, as much as came between two looks", () => {
    const it = one();
    it.whole(1000);
    it.count(900_000);
    it.whole(1000);
    it.count(901_500);
    expect(it.held).toBe(1500);
    it.whole(1000);
    it.count(902_000);
    expect(it.held).toBe(500);
  });

  test("of the next message what one read may have brought, when a large one has ended just now", () => {
    const it = one();
    it.count(3_000_000_000);
    it.whole(200_000);
    it.count(3_000_300_000, true);
    expect(it.held).toBe(512 * 1024);
  });

  test("what came behind a whole message at most, however little that told", () => {
    const it = one();
    it.count(1_000_000);
    it.whole(10);
    it.count(1_000_500);
    expect(it.held).toBe(500);
  });

  test("its fragments still when a ping stands between them", () => {
    const it = one();
    it.count(10_000);
    it.control(4);
    it.count(10_010);
    expect(it.held).toBe(10_000);
  });
});

describe.if(process.platform === "linux")("of an accepted connection Linux tells", () => {
  async function accepted(host: string): Promise<{ client: Socket; server: Socket; port: number }> {
    const { promise, resolve } = Promise.withResolvers<Socket>();
    const listener = createServer((socket) => resolve(socket)).listen(0, host);
    await until(() => listener.listening);
    const { port } = listener.address() as AddressInfo;
    const client = connect(port, "127.0.0.1");
    const server = await promise;
    atEnd(() => {
      client.destroy();
      server.destroy();
      listener.close();
    });
    return { client, server, port };
  }

  test.each(["127.0.0.1", "0.0.0.0", "::"])("its descriptor and how much was read of it, at %s", async (host) => {
    const { client, server, port } = await accepted(host);
    const peerPort = server.remotePort ?? 0;
    const fd = acceptedAt(new Set([port]))?.get(connectionKey(port, server.remoteAddress ?? "", peerPort)) ?? -1;
    expect(bytesRead(fd, peerPort)).toBe(0);
    client.write(Buffer.alloc(1000));
    // What nobody has read yet does not count.
    await until(() => bytesRead(fd, peerPort) !== null);
    expect(bytesRead(fd, peerPort)).toBe(0);
    server.resume();
    await until(() => bytesRead(fd, peerPort) === 1000);
    expect(bytesRead(fd, peerPort + 1)).toBeNull();
    expect(acceptedAt(new Set([1]))?.size).toBe(0);
  });
});
