/** A TLS handshake that does not go on: its connection ends with its time, or with the listener. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:tls";
import { startCertificates, type Certificates } from "../../../support/certificates.ts";
import { until } from "../../../support/until.ts";
import { atEnd } from "../../../support/at-end.ts";
import { answer, app } from "../../../contract/upstreams.ts";
import { carryTo } from "./carrying.ts";

let certificates: Certificates;
let pair: { cert: string; key: string };
beforeAll(() => {
  certificates = startCertificates("me");
  pair = certificates.issue("me");
});
afterAll(() => certificates.remove());

/** What a real client says first. */
async function clientHello(): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket, bytes) => (resolve(Buffer.from(bytes)), socket.terminate()) },
  });
  atEnd(() => listener.stop(true));
  connect({ host: "127.0.0.1", port: listener.port, servername: "me" }).on("error", () => undefined);
  return promise;
}

const front = () =>
  carryTo(
    app(({ wire }) => wire.send(answer(200))),
    { tls: pair },
  );

for (const [when, cut] of [
  ["with nothing said", 0],
  ["within the ClientHello", 100],
  ["behind the ClientHello", Infinity],
] as const)
  // prettier-ignore
  test(`that stalls ${when} ends with its listener`, async () => {
    const carrying = front();
    const hello = (await clientHello()).subarray(0, cut === Infinity ? undefined : cut);
    const client = await carrying.connect();
    await client.send(hello);
    // The answer to a ClientHello shows that it was read.
    if (cut === Infinity) await client.wait(() => client.received > 0, "a ServerHello");
    await carrying.close("finish");
    await client.end();
  });

test("that stalls behind the ClientHello ends after ten seconds", async () => {
  const client = await front().connect();
  await client.send(await clientHello());
  expect(await client.end(15_000)).toBe("reset");
}, 30_000);

test("whose client leaves takes nothing of the listener's end", async () => {
  const carrying = front();
  const client = await carrying.connect();
  await client.send(await clientHello());
  await client.wait(() => client.received > 0, "a ServerHello");
  client.reset();
  await client.end();
  await carrying.close("finish");
});

test("that is over leaves its halves to the client: who ends its own gets the answer", async () => {
  const steps = Promise.withResolvers<void>();
  const upstream = app(async ({ wire }) => {
    await steps.promise;
    await wire.send(answer(200, [], "whole"));
  });
  const { port } = carryTo(upstream, { tls: pair });
  const to = { host: "127.0.0.1", port, rejectUnauthorized: false, allowHalfOpen: true };
  const client = connect(to);
  atEnd(() => client.destroy());
  let heard = "";
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  client
    .on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")))
    .on("end", resolve)
    .on("error", reject);
  client.end("GET / HTTP/1.1\r\nHost: me\r\n\r\n");
  // The worker has heard of it: it asks whether the client is still there.
  await until(() => heard.includes("100 Continue"));
  steps.resolve();
  await ended;
  expect(heard).toEndWith("\r\n\r\nwhole");
});
