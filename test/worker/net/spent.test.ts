/** Memory that is given back is memory of which nobody else has a part. */
import { expect, test } from "bun:test";
import { giveBack, giveBackLarge } from "../../../worker/net/spent.ts";
import { until } from "../../support/until.ts";
import { atEnd } from "../../support/at-end.ts";

test("bytes that have their memory for themselves give it back", () => {
  const bytes = Buffer.from(new ArrayBuffer(100_000));
  giveBack(bytes);
  expect(bytes.length).toBe(0);
});

test("of bytes that have a part of it, all stays", () => {
  const whole = Buffer.from(new ArrayBuffer(100_000));
  giveBack(whole.subarray(1));
  expect(whole.length).toBe(100_000);
});

test("small ones of HTTP are left to the collector", () => {
  const bytes = Buffer.from(new ArrayBuffer(1000));
  giveBackLarge(bytes);
  expect(bytes.length).toBe(1000);
});

test("a socket's reads have theirs for themselves", async () => {
  const left: number[] = [];
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(_socket, bytes) {
        const { length } = bytes;
        giveBackLarge(bytes);
        if (length >= 16 * 1024) left.push(bytes.length);
      },
    },
  });
  atEnd(() => server.stop(true));
  const client = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data: () => undefined } });
  atEnd(() => client.terminate());
  await until(() => {
    client.write(Buffer.alloc(1024 * 1024));
    return left.length > 2;
  });
  expect(new Set(left)).toEqual(new Set([0]));
});
