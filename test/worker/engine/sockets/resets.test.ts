/**
 * Connections that are reset and written to before the engine has heard of it, and apps that are reset while they are paused: a
 * reset stays one, and little is held of what Bun still reads. Peers are processes of their own: this one has to look away.
 */
import { expect, test } from "bun:test";
import { until } from "../../../support/until.ts";
import { atEnd } from "../../../support/at-end.ts";
import { Outlet } from "../../../../worker/engine/sockets/outlet.ts";
import { carryTo } from "./carrying.ts";

/** An app that begins an answer without a length at once, and resets it `ms` later. */
async function resetting(ms: number): Promise<{ port: number }> {
  const program = `
    const { createServer } = require("node:net");
    const answer = "HTTP/1.1 200 OK\\r\\n\\r\\nthe first half";
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        socket.write(answer);
        setTimeout(() => socket.resetAndDestroy(), ${ms});
      });
    });
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;
  const child = Bun.spawn(["node", "-e", program], { stdout: "pipe" });
  atEnd(() => child.kill("SIGKILL"));
  const { value } = await child.stdout.getReader().read();
  return { port: Number(new TextDecoder().decode(value)) };
}

/** This process does nothing else for so long: what happens meanwhile is seen at once afterwards. */
function lookAway(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

test("an answer without a length whose app is reset while the client still sends is broken off, not whole", async () => {
  const carrying = carryTo(await resetting(60));
  const client = await carrying.connect();
  await client.send("POST / HTTP/1.1\r\nHost: me\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  await client.readThrough("the first half");
  // The engine reads this before it hears of the reset, and its write is what finds it.
  await client.send("3\r\ntwo\r\n");
  lookAway(300);
  const rest = (await client.rest()).toString("latin1");
  expect([rest.includes("0\r\n\r\n"), client.ended]).toEqual([false, "reset"]);
  await until(() => carrying.released() === 1);
});

test("what still comes of a source that was asked to pause is held up to two reads, and then the connection is given up", async () => {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => socket.pause(), data: () => undefined },
  });
  atEnd(() => server.stop(true));
  const told: string[] = [];
  const socket = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data: () => undefined } });
  const out = new Outlet(socket, { outIsFull: () => told.push("full"), outIsBroken: (why) => told.push(why) });
  const read = Buffer.alloc(512 * 1024);
  while (out.write(read));
  const { length } = told;
  for (let more = 0; more < 2; more++) expect([out.write(read), told.length]).toEqual([false, length]);
  for (let more = 0; more < 3; more++) expect(out.write(read)).toBe(false);
  expect(told).toEqual(["full", "flood"]);
  socket.terminate();
});
