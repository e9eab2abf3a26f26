/** A PROXY header comes before the ClientHello: whatever of both comes together, the handshake goes on. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:tls";
import { closeWires } from "../../../contract/wire.ts";
import { requestHead } from "../../../contract/client.ts";
import { startStage, type Opened, type Stage } from "../../../contract/stage.ts";
import { echo, listen, stopUpstreams } from "../../../contract/upstreams.ts";
import { startCertificates, type Certificates } from "../../../support/certificates.ts";
import { HEADERS, PORT, say, WITH } from "./in-front.ts";

let stage: Stage;
afterEach(() => {
  closeWires();
  stopUpstreams();
});

describe("a frontend with TLS", () => {
  let certificates: Certificates;
  beforeAll(async () => {
    certificates = startCertificates("me");
    stage = await startStage(PORT, { worker: { ...WITH, tls_listen: true, tls_advertised: true, tls_cert: certificates.cert, tls_privkey: certificates.key } }); // prettier-ignore
  });
  afterAll(async () => {
    await stage.stop();
    certificates.remove();
  });

  /** A request over TLS through a relay that says these pieces first; `join` puts the first bytes of TLS into the last one. */
  async function overTls(to: Opened, pieces: Buffer[], join: boolean): Promise<string> {
    const relay = listen(async (wire) => {
      const hello = await wire.read(1).then((byte) => Buffer.concat([byte, wire.take(wire.text().length)]));
      const first = join ? [...pieces.slice(0, -1), Buffer.concat([...pieces.slice(-1), hello])] : [...pieces, hello];
      const worker = await say(to.port, ...first);
      wire.stream((bytes) => void worker.send(bytes));
      worker.stream((bytes) => void wire.send(bytes));
    });
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const client = connect({ host: "127.0.0.1", port: relay.port, rejectUnauthorized: false });
    let text = "";
    client.on("error", reject);
    client.on("secureConnect", () => client.write(requestHead(to, "/")));
    client.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (text.includes("]]")) resolve(text);
    });
    setTimeout(() => reject(new Error(`no answer; have ${text}`)), 10_000).unref();
    return promise.finally(() => client.destroy());
  }

  test.each(HEADERS)("takes %s before the ClientHello, together with it or apart", async (_what, header, peer) => {
    const to = await stage.open({ upstream: echo().port, allowedClientIps: peer });
    for (const [pieces, join] of [[[header], true], [[header], false], [[header.subarray(0, 7), header.subarray(7)], true]] as const)
      expect(await overTls(to, [...pieces], join)).toContain(`"X-Forwarded-For","${peer}"`);
  }); // prettier-ignore

  test("resets a ClientHello without a header", async () => {
    const to = await stage.open({ upstream: echo().port });
    const wire = await say(to.port, Buffer.from([22, 3, 1, 0, 100]));
    expect(await wire.end()).toBe("reset");
  });
});
