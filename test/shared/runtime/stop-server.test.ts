/** How an API server stops: calls that are under way end, and idle connections keep nobody waiting. */
import { afterEach, expect, test } from "bun:test";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { stopServer } from "../../../shared/runtime/process.ts";
import { dial } from "../../contract/client.ts";
import { closeWires } from "../../contract/wire.ts";
import { startCertificates } from "../../support/certificates.ts";

const CALL = "GET / HTTP/1.1\r\nHost: me\r\n\r\n";
/** Below the five seconds that calls have. */
const PATIENCE_MS = 4000;

afterEach(closeWires);

function serve(fetch: () => Response | Promise<Response>, tls: { cert: string; key: string } | null = null) {
  const files = tls === null ? {} : { tls: { cert: readFileSync(tls.cert), key: readFileSync(tls.key) } };
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch, ...files });
  const stop = () => stopServer(server, () => server.pendingRequests).then(() => "stopped");
  return { port: server.port ?? 0, stop };
}

const late = () => Bun.sleep(PATIENCE_MS).then(() => "waits");

test.each([
  ["that has said the half of a call", CALL.slice(0, -2)],
  ["that has had its answer", CALL],
])("a connection %s is closed at once", async (_what, says) => {
  const { port, stop } = serve(() => new Response("answer"));
  const wire = await dial(port);
  await wire.send(says);
  if (says === CALL) await wire.readThrough("answer");
  expect(await Promise.race([stop(), late()])).toBe("stopped");
  await wire.wait(() => wire.ended !== null, "the end");
});

test("one over TLS that a browser has made for later is too", async () => {
  const certificates = startCertificates("127.0.0.1");
  const { port, stop } = serve(() => new Response("answer"), certificates);
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const closed = once(socket, "close");
  expect(await Promise.race([stop(), late()])).toBe("stopped");
  await closed;
  certificates.remove();
});

test("a call that is under way has its answer", async () => {
  const called = Promise.withResolvers<void>();
  const { port, stop } = serve(async () => {
    called.resolve();
    await Bun.sleep(1000);
    return new Response("answer");
  });
  const wire = await dial(port);
  await wire.send(CALL);
  await called.promise;
  const stopped = stop();
  expect(await wire.readThrough("answer")).toContain("200 OK");
  expect(await stopped).toBe("stopped");
});
