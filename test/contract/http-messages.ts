/** H1, H2: any method, status and length of body pass byte for byte. */
import { expect } from "bun:test";
import { brotliCompressSync } from "node:zlib";
import { ask, begin, dial, finalHead, requestHead } from "./client.ts";
import { pattern } from "./flood.ts";
import { chunk, sha256 } from "./message.ts";
import { answer, answering, app, echo, told } from "./upstreams.ts";
import { linesOf } from "./line.ts";
import type { Shape } from "./shapes.ts";
import type { Stage } from "./stage.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "REPORT", "SEARCH", "PURGE"];
const LENGTHS = [0, 1, 16_383, 16_384, 65_537, 1_048_577];

export function httpMessages(shape: Shape, stage: () => Stage): void {
  const line = linesOf(shape);

  line("H1", `passes ${METHODS.join(", ")}`, async () => {
    const to = await stage().open({ upstream: echo().port });
    for (const method of METHODS) {
      const { head, body } = await ask(to, "/", { method });
      expect([head.status, told(body).line]).toEqual([200, `${method} / HTTP/1.1`]);
    }
  });

  line(
    "H1",
    "passes a method that nobody has heard of",
    async () => {
      const to = await stage().open({ upstream: echo().port });
      expect(told((await ask(to, "/", { method: "FROBNICATE" })).body).line).toBe("FROBNICATE / HTTP/1.1");
    },
    { deviation: "a method that Bun does not know is answered with a closed connection" },
  );

  line("H1", "passes every status from 200 to 599", async () => {
    const upstream = app(({ head, wire }) => wire.send(withStatus(Number(head.target.slice(1)))));
    const to = await stage().open({ upstream: upstream.port });
    const statuses = Array.from({ length: 400 }, (_, at) => 200 + at);
    const seen: (string | number)[][] = [];
    for (const status of statuses) {
      const { head, body } = await ask(to, `/${status}`);
      seen.push([head.status, head.get("x-status") ?? "", body.bytes.toString()]);
    }
    expect(seen).toEqual(statuses.map((status) => [status, String(status), bodyless(status) ? "" : `is ${status}`]));
  });

  line(
    "H1",
    "passes statuses that no standard knows",
    async () => {
      const to = await stage().open({ upstream: answering(answer(799, [], "odd")).port });
      expect((await ask(to, "/")).head.status).toBe(799);
    },
    { deviation: "statuses from 600 become 502" },
  );

  line(
    "H1",
    "passes reason phrases",
    async () => {
      const to = await stage().open({ upstream: answering(answer("200 Fine by me", [], "ok")).port });
      expect((await ask(to, "/")).head.reason).toBe("Fine by me");
    },
    { deviation: "reason phrases; 1xx answers; trailers" },
  );

  line(
    "H1",
    "passes early hints",
    async () => {
      const upstream = answering(
        Buffer.concat([Buffer.from("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"), answer(200)]),
      );
      const wire = await begin(await stage().open({ upstream: upstream.port }), "/");
      expect((await wire.head()).status).toBe(103);
    },
    { deviation: "reason phrases; 1xx answers; trailers" },
  );

  line(
    "H1",
    "passes trailers",
    async () => {
      const upstream = answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
      );
      const wire = await begin(await stage().open({ upstream: upstream.port }), "/", {
        headers: [
          ["TE", "trailers"],
          ["Connection", "TE, close"],
        ],
      });
      expect((await wire.rest()).toString()).toContain("X-Sum: 1");
    },
    { deviation: "reason phrases; 1xx answers; trailers" },
  );

  line("H1", "passes request bodies of any length, with Content-Length and in chunks", async () => {
    const to = await stage().open({ upstream: echo().port });
    for (const length of LENGTHS) {
      const body = pattern(length);
      const whole = told((await ask(to, "/", { method: "POST", body })).body);
      expect([whole.length, whole.sha256, whole.framing]).toEqual([length, sha256(body), "length"]);
      const parts = told((await inChunks(to, body)).body);
      expect([parts.length, parts.sha256]).toEqual([length, sha256(body)]);
    }
  });

  line(
    "H1",
    "passes the body of a GET",
    async () => {
      const to = await stage().open({ upstream: echo().port });
      expect(told((await ask(to, "/", { body: "asked in a body" })).body).length).toBe(15);
    },
    { deviation: "a GET with a body loses it" },
  );

  line("H1", "passes answers of any length, with Content-Length and in chunks", async () => {
    const upstream = app(({ head, wire }) => {
      const [, framing, length] = head.target.split("/");
      const body = pattern(Number(length));
      return wire.send(framing === "length" ? answer(200, [], body) : chunked(body));
    });
    const to = await stage().open({ upstream: upstream.port });
    for (const length of LENGTHS)
      for (const framing of ["length", "chunked"]) {
        const { body } = await ask(to, `/${framing}/${length}`);
        expect([body.complete, body.sha256]).toEqual([true, sha256(pattern(length))]);
      }
  });

  line(
    "H1",
    "keeps the Content-Length of an answer that streams",
    async () => {
      const upstream = app(async ({ wire }) => {
        await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
        await wire.send(pattern(200_000));
      });
      const { head } = await ask(await stage().open({ upstream: upstream.port }), "/");
      expect(head.get("content-length")).toBe("200000");
    },
    { deviation: "the answer's `Content-Length` becomes chunked when the body streams" },
  );

  line("H1", "adds no header to an answer that the app has not sent, but Date and the framing", async () => {
    const bodies = [
      "Content-Length: 2\r\n\r\nok",
      "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
      "Content-Length: 0\r\n\r\n",
    ];
    const to = await stage().open({
      upstream: app(({ head, wire }) => wire.send(`HTTP/1.1 200 OK\r\n${bodies[Number(head.target.slice(1))]}`)).port,
    });
    for (let at = 0; at < bodies.length; at++) {
      const { head } = await ask(to, `/${at}`);
      const names = head.pairs.map(([name]) => name.toLowerCase());
      expect(names.filter((name) => !["date", "content-length", "transfer-encoding"].includes(name))).toEqual([]);
    }
  });

  line(
    "H1",
    "adds no header to a request but the forwarding ones",
    async () => {
      const to = await stage().open({ upstream: echo().port });
      const names = told((await ask(to, "/")).body).pairs.map(([name]) => name.toLowerCase());
      const ours = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];
      expect(names.filter((name) => name !== "connection").toSorted()).toEqual(["host", ...ours].toSorted());
    },
    { deviation: "a request without `User-Agent` or `Accept` gets Bun's" },
  );

  line(
    "H1",
    "answers requests that were sent one behind the other, in their order",
    async () => {
      const to = await stage().open({ upstream: echo().port });
      const wire = await dial(to.port);
      await wire.send(requestHead(to, "/1") + requestHead(to, "/2"));
      const lines: string[] = [];
      for (let at = 0; at < 2; at++) lines.push(told(await wire.body(await wire.head())).line);
      expect(lines).toEqual(["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]);
    },
    { deviation: "a second request that comes before the first is answered closes the connection" },
  );

  line("H2", "passes compressed bodies as they are, both ways", async () => {
    for (const [encoding, bytes] of compressed()) {
      const upstream = app(async ({ body, wire }) => {
        const { sha256: sent } = await body();
        await wire.send(
          answer(
            200,
            [
              ["Content-Encoding", encoding],
              ["X-Sent", sent],
            ],
            bytes,
          ),
        );
      });
      const to = await stage().open({ upstream: upstream.port });
      const { head, body } = await ask(to, "/", {
        method: "POST",
        body: bytes,
        headers: [["Content-Encoding", encoding]],
      });
      expect([head.get("content-encoding"), body.sha256, head.get("x-sent")]).toEqual([
        encoding,
        sha256(bytes),
        sha256(bytes),
      ]);
      expect((await upstream.request()).head.get("content-encoding")).toBe(encoding);
    }
  });

  line("H2", "never compresses, and asks the app for no other encoding than the client did", async () => {
    const text = "a text that would shrink ".repeat(1000);
    const upstream = answering(answer(200, [["Content-Type", "text/plain"]], text));
    const to = await stage().open({ upstream: upstream.port });
    const { head, body } = await ask(to, "/", { headers: [["Accept-Encoding", "gzip, br, zstd"]] });
    expect([head.get("content-encoding"), body.sha256]).toEqual([null, sha256(Buffer.from(text))]);
    await ask(to, "/");
    expect(upstream.asked.map(({ head }) => head.get("accept-encoding"))).toEqual(["gzip, br, zstd", null]);
  });

  line("H1", "takes no answer in a transfer coding that it can't undo: 502", async () => {
    for (const coding of ["gzip", "identity", "gzip, chunked", "x"]) {
      const { port } = app(async ({ wire }) => {
        await wire.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\nhello`);
        wire.close();
      });
      expect([coding, (await ask(await stage().open({ upstream: port }), "/")).head.status]).toEqual([coding, 502]);
    }
  });
}

// --- internal ---

function bodyless(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

function withStatus(status: number): Buffer | string {
  const head = `HTTP/1.1 ${status} As Asked\r\nX-Status: ${status}\r\n`;
  return bodyless(status) ? `${head}\r\n` : `${head}Content-Length: 6\r\n\r\nis ${status}`;
}

function chunked(body: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")];
  for (let at = 0; at < body.length; at += 10_000) parts.push(chunk(body.subarray(at, at + 10_000)));
  return Buffer.concat([...parts, chunk("")]);
}

async function inChunks(to: Parameters<typeof begin>[0], body: Buffer) {
  const wire = await begin(to, "/", { method: "POST", headers: [["Transfer-Encoding", "chunked"]] });
  for (let at = 0; at < body.length; at += 10_000) await wire.send(chunk(body.subarray(at, at + 10_000)));
  await wire.send(chunk(""));
  const head = await finalHead(wire);
  return { head, body: await wire.body(head) };
}

function compressed(): [string, Uint8Array][] {
  const text = Buffer.from("a text that shrinks ".repeat(500));
  return [
    ["gzip", Bun.gzipSync(text)],
    ["br", brotliCompressSync(text)],
    ["zstd", Bun.zstdCompressSync(text)],
    // Whoever decodes would notice that these are none.
    ["gzip", Buffer.from("no gzip at all")],
    ["x-of-our-own", pattern(1000)],
  ];
}
