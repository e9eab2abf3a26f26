/** Coordinator and worker in one process: what their configuration says holds there too. */
import { expect, test } from "bun:test";
import { dial } from "../../contract/client.ts";
import { answer, app, stopUpstreams } from "../../contract/upstreams.ts";
import { closeWires } from "../../contract/wire.ts";
import { atEnd } from "../../support/at-end.ts";
import { startCluster } from "../../support/cluster.ts";

test("the engine is the one that is named", async () => {
  const cluster = await startCluster({ worker: { engine: "sockets" } });
  atEnd(() => cluster.stop());
  atEnd(closeWires);
  atEnd(stopUpstreams);
  const upstream = app(({ wire }) => wire.send(answer("200 Fine by me")));
  const { origin, cookie } = await cluster.manager.enter({ kernel_port: upstream.port });
  const client = await dial(Number(new URL(origin).port));
  // `Bun.serve` knows no such method and no reason phrases.
  await client.send(`FROBNICATE / HTTP/1.1\r\nHost: ${new URL(origin).host}\r\nCookie: ${cookie}\r\n\r\n`);
  expect((await client.head()).line).toBe("HTTP/1.1 200 Fine by me");
});
