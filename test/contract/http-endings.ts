/** H9: transfers that end too early are seen as such, on both sides. */
import { expect } from "bun:test";
import { until } from "../support/until.ts";
import { ask, begin, finalHead } from "./client.ts";
import { chunk, type Body } from "./message.ts";
import { answer, app, MISBEHAVIOURS } from "./upstreams.ts";
import type { Wire } from "./wire.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";
import { owed } from "../support/owed.ts";

/** dataplane H9. Milliseconds. */
const ABORT_MS = 100;

const TRUNCATED = [
  "dies in mid-body with Content-Length",
  "dies in mid-chunk",
  "dies between chunks",
  "resets in mid-body",
] as const;

export function httpEndings(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  for (const how of TRUNCATED)
    line("H9", `never takes an answer for complete whose app ${how}`, async () => {
      const to = await stage().open({ upstream: MISBEHAVIOURS[how]().port });
      expect(await outcome(to)).toBe("aborted");
    });

  line(
    "H9",
    "never takes an answer for complete whose app resets in a body that ends with its connection",
    async () => {
      const upstream = MISBEHAVIOURS["resets in a body that ends with its connection"]();
      expect(await outcome(await stage().open({ upstream: upstream.port }))).toBe("aborted");
    },
    { deviation: "a reset in a body that ends with its connection is taken for its end" },
  );

  line(
    "H9",
    "never takes an answer for complete whose app dies after the client has the head and some of the body",
    async () => {
      const upstream = app(async ({ wire, head }) => {
        await wire.send(
          `HTTP/1.1 200 OK\r\n${head.target === "/length" ? "Content-Length: 100" : "Transfer-Encoding: chunked"}\r\n\r\n`,
        );
        await wire.send(head.target === "/length" ? "half" : chunk("half"));
      });
      const to = await stage().open({ upstream: upstream.port });
      for (const [at, target] of ["/length", "/chunked"].entries()) {
        const client = await begin(to, target);
        await client.readThrough("half");
        (await upstream.request(at)).wire.close();
        // A chunked answer must lack its last chunk; one with a length, bytes.
        expect((await client.rest()).toString()).not.toContain("0\r\n\r\n");
      }
    },
  );

  line(
    "H9",
    "passes no request for whole whose chunks lack their last empty line",
    async () => {
      const whole: Body[] = [];
      const upstream = app(async ({ wire, body }) => {
        const said = await body();
        if (said.complete) whole.push(said);
        await wire.send(answer(200));
      });
      const to = await stage().open({ upstream: upstream.port });
      const client = await begin(to, "/", { method: "POST", headers: [["Transfer-Encoding", "chunked"]] });
      await client.send("0\r\n");
      client.finish();
      await client.end();
      await ask(to, "/");
      expect(whole.map(({ framing }) => framing)).toEqual(["none"]);
    },
    { deviation: "a body in chunks is whole without its last empty line" },
  );

  line(
    "H9",
    "asks nobody over a connection on which bytes of no answer came with the last one",
    async () => {
      const upstream = app(({ wire }) =>
        wire.send("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
      );
      const to = await stage().open({ upstream: upstream.port });
      for (let at = 0; at < 3; at++) expect((await ask(to, "/")).head.status).toBe(304);
      expect(upstream.wires.length).toBe(3);
    },
    { deviation: "a connection to an app is used again though bytes of no answer came with the last one" },
  );

  line("H9", "answers 502 for an app that dies in the head, or resets", async () => {
    for (const how of ["dies in the head", "resets at once"] as const) {
      const to = await stage().open({ upstream: MISBEHAVIOURS[how]().port });
      expect([how, (await ask(to, "/")).head.status]).toEqual([how, 502]);
    }
  });

  line("H9", "passes an answer that comes before the upload has ended", async () => {
    const upstream = app(async ({ wire }) => {
      await wire.send(answer(413, [["Connection", "close"]], "enough"));
      wire.pause();
    });
    const to = await stage().open({ upstream: upstream.port });
    const client = await begin(to, "/", { method: "POST", headers: [["Content-Length", "1000000"]] });
    await client.send("only some");
    const head = await finalHead(client);
    expect([head.status, (await client.body(head)).bytes.toString()]).toEqual([413, "enough"]);
  });

  for (const [how, leave] of [
    ["resets", (client: Wire) => client.reset()],
    ["closes", (client: Wire) => client.close()],
  ] as const) {
    line(
      "H9",
      `aborts the app's request within ${ABORT_MS} ms when a client ${how} that waits for the head`,
      async () => {
        const upstream = app(({ wire }) => wire.end());
        const client = await begin(await stage().open({ upstream: upstream.port }), "/");
        const { wire } = await upstream.request();
        leave(client);
        await expectGone(wire);
      },
    );

    line("H9", `aborts the app's request within ${ABORT_MS} ms when a client ${how} in mid-answer`, async () => {
      const upstream = app(async ({ wire }) => {
        await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await wire.end();
      });
      const client = await begin(await stage().open({ upstream: upstream.port }), "/");
      await client.readThrough("hello");
      leave(client);
      await expectGone((await upstream.request()).wire);
    });

    line(
      "H9",
      `aborts the app's request within ${ABORT_MS} ms when a client ${how} in mid-upload, and completes no body`,
      async () => {
        const bodies: Body[] = [];
        const upstream = app(async ({ wire, body }) => {
          await wire.wait(() => wire.text().includes("half"), "half of the body");
          bodies.push(await body());
        });
        const to = await stage().open({ upstream: upstream.port });
        const framings: [string, string][] = [
          ["Content-Length", "100"],
          ["Transfer-Encoding", "chunked"],
        ];
        for (const [at, framing] of framings.entries()) {
          const client = await begin(to, "/", { method: "POST", headers: [framing] });
          const { wire } = await upstream.request(at);
          const before = wire.received;
          await client.send(at === 0 ? "half" : chunk("half"));
          await wire.wait(() => wire.received > before, "half of the body");
          leave(client);
          await expectGone(wire);
        }
        await until(() => bodies.length === 2);
        expect(bodies.map(({ complete }) => complete)).toEqual([false, false]);
      },
    );
  }

  line("H9", "takes a client that has left for no failure of the app", async () => {
    const upstream = app(({ wire }) => wire.end());
    const to = await stage().open({ upstream: upstream.port });
    const client = await begin(to, "/");
    const { wire } = await upstream.request();
    client.reset();
    await wire.end();
    // A refusal of the same circuit comes after whatever the worker has to say of that.
    await ask(to, "/", { headers: [["Cookie", "none=1"]] });
    const refused = () =>
      stage()
        .lines.filter((one) => one["circuit"] === to.circuit.id)
        .map((one) => one["status"]);
    await until(() => refused().includes(401));
    expect(refused()).toEqual([401]);
  });
}

// --- internal ---

/** What a client makes of an answer. */
async function outcome(to: Parameters<typeof begin>[0]): Promise<"complete" | "aborted"> {
  const client = await begin(to, "/");
  // The engine may reset the connection before it has passed the head on.
  const head = await finalHead(client).catch(() => null);
  if (head === null) return "aborted";
  const { complete } = await client.body(head).catch(() => ({ complete: false }));
  return head.status === 200 && complete ? "complete" : "aborted";
}

async function expectGone(wire: Wire): Promise<void> {
  const left = performance.now();
  await wire.wait(() => wire.ended !== null, "the worker to end the app's request", 5000);
  expect(performance.now() - left).toBeLessThan(owed(ABORT_MS));
}
