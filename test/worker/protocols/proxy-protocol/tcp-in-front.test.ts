/**
 * Raw TCP of a proxy in front that begins with a PROXY header, over real sockets: nothing behind the header is lost, and the
 * address that it tells is the peer for all.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { closeWires } from "../../../contract/wire.ts";
import { dial } from "../../../contract/client.ts";
import { letIn } from "../../../contract/tcp-admission.ts";
import { startStage, type Stage } from "../../../contract/stage.ts";
import { listen, stopUpstreams } from "../../../contract/upstreams.ts";
import { until } from "../../../support/until.ts";
import { binary, INET, line } from "./headers.ts";
import { BAD, BOTH, CLIENT, HEADERS, PORT, refusals, say, silence, STRANGER, WITH } from "./in-front.ts";

const MIB = 1024 * 1024;

let stage: Stage;
afterEach(() => {
  closeWires();
  stopUpstreams();
});

describe.each(["serve", "sockets"] as const)("a TCP frontend of the %s engine", (engine) => {
  beforeAll(
    async () => void (stage = await startStage({ ...PORT, engine }, { worker: { ...WITH, ...BOTH, protocol: "tcp" } })),
  );
  afterAll(() => stage.stop());

  /** An app that sends back what it gets, and ends when it does. */
  const mirror = () => listen((wire) => {
    wire.stream((bytes) => void wire.send(bytes));
    void wire.end().then(() => wire.close());
  }); // prettier-ignore

  describe.each(HEADERS)("behind %s", (_what, header, peer) => {
    test("lets in the told address, and passes what follows the header, whole and in order", async () => {
      const to = await stage.open({ upstream: mirror().port, protocol: "tcp", public: true, allowedClientIps: peer });
      const payload = Buffer.from("PROXY TCP4 6.6.6.6 6.6.6.6 1 2\r\nand more");
      const all = Buffer.concat([header, payload]);
      for (const pieces of [[all], [header, payload], [all.subarray(0, 5), all.subarray(5)], [all.subarray(0, header.length + 3), all.subarray(header.length + 3)]]) {
        const wire = await say(to.port, ...pieces);
        expect(await wire.read(payload.length)).toEqual(payload);
        wire.finish();
        expect([await wire.end(), wire.received]).toEqual(["end", payload.length]);
      }
    }); // prettier-ignore
  });

  test("passes bytes and FIN that came in one packet with the header", async () => {
    const to = await stage.open({ upstream: mirror().port, protocol: "tcp", public: true });
    for (const payload of [Buffer.alloc(0), Buffer.from("bye"), Buffer.alloc(3 * MIB, "0123456789")]) {
      const wire = await dial(to.port);
      await Promise.all([wire.send(Buffer.concat([line(CLIENT), payload])).then(() => wire.finish()), wire.wait(() => wire.received >= payload.length, "all of it")]); // prettier-ignore
      expect((await wire.rest()).equals(payload)).toBe(true);
    }
  });

  test("holds bytes behind the header for an app that reads later", async () => {
    const app = listen((wire) => wire.pause());
    const to = await stage.open({ upstream: app.port, protocol: "tcp", public: true });
    const payload = Buffer.alloc(8 * MIB, "0123456789");
    const wire = await dial(to.port);
    const sending = wire.send(Buffer.concat([line(CLIENT), payload])).then(() => wire.finish());
    const reader = await until(() => app.wires[0]);
    await Bun.sleep(200);
    reader.resume();
    expect((await reader.rest()).equals(payload)).toBe(true);
    await sending;
  });

  test("asks /setup for the told address, not for the proxy's", async () => {
    const to = await stage.open({ upstream: mirror().port, protocol: "tcp" });
    const passes = async (source: string) => {
      const wire = await say(to.port, Buffer.concat([line(source), Buffer.from("x")]));
      await wire.wait(() => wire.received > 0 || wire.ended !== null, "an answer or the end");
      return wire.received > 0;
    };
    expect((await letIn(stage, to)).status).toBe(200);
    expect([await passes("127.0.0.1"), await passes(CLIENT)]).toEqual([true, false]);
    expect(stage.lines.filter(({ peer }) => peer === CLIENT)).toMatchObject([{ msg: "connection refused" }]);
  });

  test("passes anybody else's header to the app, as the bytes that it is", async () => {
    const to = await stage.open({ upstream: mirror().port, protocol: "tcp", public: true, allowedClientIps: STRANGER });
    for (const bytes of [line(CLIENT), binary({ block: INET })]) {
      const wire = await dial(to.port, STRANGER);
      await wire.send(bytes);
      expect(await wire.read(bytes.length)).toEqual(bytes);
    }
  }); // prettier-ignore

  test.each(BAD)("resets %s, and the app sees nothing", async (_what, bytes) => {
    const app = mirror();
    const to = await stage.open({ upstream: app.port, protocol: "tcp", public: true });
    const wire = await say(to.port, bytes);
    expect([await wire.end(), wire.received, app.wires.length]).toEqual(["reset", 0, 0]);
    expect(refusals(stage)).toMatchObject([{ peer: "127.0.0.1" }]);
  });

  test("resets one that waits for the app's greeting for three seconds", async () => {
    const app = listen((wire) => wire.send("hello"));
    const to = await stage.open({ upstream: app.port, protocol: "tcp", public: true });
    expect(await silence(to.port)).toBeWithin(2900, 20_000);
    const wire = await say(to.port, line(CLIENT));
    expect((await wire.read(5)).toString()).toBe("hello");
  }, 30_000);

  test("ends connections without a header when their circuit goes", async () => {
    const to = await stage.open({ upstream: mirror().port, protocol: "tcp", public: true });
    const wire = await say(to.port, "PROXY ");
    const began = performance.now();
    await stage.close(to);
    expect([await wire.end(), performance.now() - began < 2500]).toEqual(["reset", true]);
  });
});
