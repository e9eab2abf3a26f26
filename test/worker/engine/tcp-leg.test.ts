/** Connections of raw TCP that are reset and written to before the worker has heard of it. */
import { expect, test } from "bun:test";
import { APP_HANDLERS, Leg } from "../../../worker/engine/tcp-leg.ts";
import { dial } from "../../../worker/net/dial.ts";
import { judged } from "../../../worker/net/targets.ts";
import type { Attempt } from "../../../worker/seam/engine.ts";
import { listen } from "../../contract/upstreams.ts";
import type { Wire } from "../../contract/wire.ts";
import { atEnd } from "../../support/at-end.ts";
import { until } from "../../support/until.ts";

interface Joined {
  client: Leg;
  clientWire: Wire;
  appWire: Wire;
  isReleased: () => boolean;
}

/** A leg of real sockets, and the other end of its connection. */
async function open(): Promise<[Leg, Wire]> {
  const peer = listen(() => undefined);
  atEnd(() => peer.stop());
  const leg = new Leg();
  await dial(judged("127.0.0.1", peer.port), leg, APP_HANDLERS).socket;
  return [leg, await until(() => peer.wires[0])];
}

async function join(): Promise<Joined> {
  const [[client, clientWire], [app, appWire]] = [await open(), await open()];
  let isReleased = false;
  const attempt: Attempt = {
    target: judged("127.0.0.1", 0),
    upstream: { kept: [], removed: false },
    starting: false,
    stop: () => undefined,
    drain: undefined,
    ended: () => undefined,
    connected: () => undefined,
    moved: () => undefined,
    next: () => null,
    release: () => void (isReleased = true),
  };
  app.joined(client, attempt);
  client.joined(app, attempt);
  return { client, clientWire, appWire, isReleased: () => isReleased };
}

test("are a reset for the other side, and leave nothing behind", async () => {
  const { client, clientWire, appWire, isReleased } = await join();
  clientWire.reset();
  // In this turn: the system tells the reset to the write, and once.
  client.write(Buffer.from("y"));
  expect(await appWire.end()).toBe("reset");
  await until(isReleased);
});

test("are so too when they were held back", async () => {
  const { client, clientWire, appWire, isReleased } = await join();
  client.pause();
  clientWire.reset();
  client.write(Buffer.from("y"));
  expect(await appWire.end()).toBe("reset");
  await until(isReleased);
});

test("had last words, which arrive", async () => {
  const { client, clientWire, appWire, isReleased } = await join();
  await clientWire.send("last words");
  clientWire.reset();
  client.write(Buffer.from("y"));
  expect((await appWire.rest()).toString()).toBe("last words");
  expect(appWire.ended).toBe("reset");
  await until(isReleased);
});

test("take nothing more, and hold nobody back", async () => {
  const { client, clientWire, appWire } = await join();
  clientWire.reset();
  client.write(Buffer.from("y"));
  client.write(Buffer.from("more"));
  client.end();
  client.pause();
  expect(await appWire.end()).toBe("reset");
});
