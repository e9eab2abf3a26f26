/** H11: each chunk is passed on when it comes. */
import { expect } from "bun:test";
import { begin, dial, requestHead } from "./client.ts";
import { chunk } from "./message.ts";
import { app, slow } from "./upstreams.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";
import { owed } from "../support/owed.ts";

/** dataplane H11. Milliseconds. */
const ADDED_DELAY_MS = 5;

export function httpStreams(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line(
    "H11",
    `passes each chunk when it comes: less than ${ADDED_DELAY_MS} ms are added in 99 of 100 cases`,
    async () => {
      const upstream = events();
      const to = await stage().open({ upstream: upstream.port });
      // The machine's own hiccups count for both; the best of some rounds has the fewest.
      let added = Infinity;
      for (let round = 0; round < 5 && added >= owed(ADDED_DELAY_MS); round++) {
        const through = await delay(to.port, requestHead(to, "/"), upstream.next);
        added = Math.min(added, through - (await delay(upstream.port, "GET / HTTP/1.1\r\n\r\n", upstream.next)));
      }
      expect(added).toBeLessThan(owed(ADDED_DELAY_MS));
    },
  );

  line("H11", "waits for a slow head and a slow body, part by part", async () => {
    const steps = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    async function* parts() {
      for (const [at, { promise }] of steps.slice(1).entries()) {
        await promise;
        yield `<part ${at}>`;
      }
    }
    const upstream = slow(steps[0]?.promise ?? Promise.resolve(), parts());
    const client = await begin(await stage().open({ upstream: upstream.port }), "/");
    await upstream.request();
    expect(client.text()).toBe("");
    steps[0]?.resolve();
    for (let at = 0; at < 3; at++) {
      steps[at + 1]?.resolve();
      expect(await client.readThrough(">")).toEndWith(`<part ${at}>`);
      expect(client.text()).not.toContain("<part");
    }
  });

  line("H11", "passes the chunks of an upload when they come", async () => {
    const upstream = app(async ({ wire }) => {
      for (let at = 0; at < 3; at++) {
        await wire.readThrough(`part ${at}`);
        if (at === 0) await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        await wire.send(chunk(`heard ${at}`));
      }
      await wire.send(chunk(""));
    });
    const client = await begin(await stage().open({ upstream: upstream.port }), "/", {
      method: "POST",
      headers: [["Transfer-Encoding", "chunked"]],
    });
    for (let at = 0; at < 3; at++) {
      await client.send(chunk(`part ${at}`));
      expect(await client.readThrough(`heard ${at}`)).not.toBeNull();
    }
  });

  line(
    "H11",
    "passes an answer's head before its body",
    async () => {
      const upstream = app(({ wire }) =>
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"),
      );
      const client = await begin(await stage().open({ upstream: upstream.port }), "/");
      await client.wait(() => client.text().includes("\r\n\r\n"), "the head", 1000);
    },
    { deviation: "an answer's head is completed with its first body byte" },
  );
}

// --- internal ---

const EVENTS = 400;

/** Sends the time in a chunk, and again when asked by `next`. */
function events(): { port: number; next: () => void } {
  let asked: () => void = () => undefined;
  const { port } = app(async ({ wire }) => {
    await wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (!wire.closed && wire.ended === null) {
      const { promise, resolve } = Promise.withResolvers<void>();
      asked = resolve;
      await wire.send(chunk(`<${performance.now()}>`));
      await promise;
    }
  });
  return { port, next: () => asked() };
}

/** How long events take from the app to a client on `port`: the 99th of 100, in milliseconds. */
async function delay(port: number, request: string, next: () => void): Promise<number> {
  const client = await dial(port);
  await client.send(request);
  const delays: number[] = [];
  while (delays.length < EVENTS) {
    const sent = Number(/<([\d.]+)>$/.exec((await client.readThrough(">")) ?? "")?.[1]);
    delays.push(performance.now() - sent);
    next();
  }
  client.reset();
  return delays.toSorted((a, b) => a - b)[Math.floor(EVENTS * 0.99)] ?? Infinity;
}
