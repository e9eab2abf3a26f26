/**
 * What real programs met behind a proxy that reads and writes messages anew, and do not meet behind a worker with the engine
 * on raw sockets: rclone, curl, netcat, Python's requests and websockets, Java's HttpClient, and uvicorn behind it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chunk } from "../contract/message.ts";
import { startStage, type Stage } from "../contract/stage.ts";
import { answer, app, echo, stopUpstreams, type Asked, type Echo } from "../contract/upstreams.ts";
import { closeWires } from "../contract/wire.ts";
import { install, INSTALL_MS } from "../support/apps/install.ts";
import { listens, startProgram, type Program } from "../support/apps/program.ts";
import { freePort } from "../support/ports.ts";
import { ran, type Ran } from "../support/ran.ts";
import { ROOT } from "../support/spawned.ts";
import { until } from "../support/until.ts";

const MIB = 2 ** 20;
/** uvicorn asks every 20 s, and waits 20 s for an answer; the Bun engine's own pings ended it after 15 s. */
const TALK_SECONDS = 45;
/** The Bun engine cuts a peer that has answered nothing for 57 s. */
const BUSY_SECONDS = 65;
/** Of a test that waits for one of the two, on a busy machine. Milliseconds. */
const LONG_MS = 240_000;

/** Debian's, which has Debian's modules. */
const PYTHON = "/usr/bin/python3";
const fixture = (name: string) => join(ROOT, "test/fixtures/programs", name);

const stack = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "app-proxy-programs-"));
stack.defer(() => rmSync(directory, { recursive: true, force: true }));

let stage: Stage;
/** A Python with uvicorn and websockets. */
let python: string;
/** Where `feed.py` serves. */
let feed: { program: Program; port: number };
/** What takes long is begun at once, and asked for in its test. */
const long = { talk: Promise.withResolvers<Ran>(), busy: Promise.withResolvers<Ran>() };

beforeAll(async () => {
  python = join(await install("uvicorn"), "bin/python");
  stage = await startStage({ engine: "sockets", frontend: "port", place: "spawned" });
  stack.defer(() => stage.stop());
  feed = await startServer((port) => [python, fixture("feed.py"), String(port)]);
  const uvicorn = await startServer((port) => {
    const app = ["--app-dir", fixture(""), "--lifespan", "off", "echo:app"];
    return [python, "-m", "uvicorn", "--port", String(port), "--log-level", "warning", ...app];
  });
  long.talk.resolve(ran([python, fixture("talk.py"), await webSocket(uvicorn.port), String(TALK_SECONDS)]));
  long.busy.resolve(ran([python, fixture("busy.py"), `${await webSocket(feed.port)}numbers`, String(BUSY_SECONDS)]));
}, INSTALL_MS);

afterAll(async () => {
  closeWires();
  stopUpstreams();
  await stack.disposeAsync();
}, 60_000);

/** A circuit that everybody may use, as these programs have no cookies; gives its address. */
async function through(port: number): Promise<string> {
  return (await stage.open({ upstream: port, public: true })).url("/");
}

const webSocket = async (port: number) => (await through(port)).replace("http:", "ws:");

/** A test for which a program has to be installed. */
function testWith(program: string, name: string, work: () => Promise<void>, ms = 120_000): void {
  const isThere = program.startsWith("/") ? existsSync(program) : Bun.which(program) !== null;
  test.skipIf(!isThere)(isThere ? name : `${name} (skipped: no ${program})`, work, ms);
}

describe("rclone", () => {
  testWith("rclone", "copies a resource whose length nobody tells, not even to HEAD", async () => {
    const content = "a stream".repeat(100_000);
    const streaming = app(async ({ head: { method }, wire }) => {
      await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      if (method !== "HEAD") await wire.send(Buffer.concat([chunk(content), chunk("")]));
    });
    const copy = join(directory, "copy");
    const url = await through(streaming.port);
    const rclone = await ran(["rclone", "--config", "", "copyto", ":http:stream.bin", copy, "--http-url", url, "-vv"]);
    expect([rclone.code, rclone.code === 0 ? "" : rclone.stderr]).toEqual([0, ""]);
    expect(readFileSync(copy, "latin1") === content).toBe(true);
    expect(streaming.asked.map(({ head }) => head.method)).toContain("HEAD");
  });
});

describe("curl", () => {
  testWith("curl", "sees that a body which ends with its connection was cut off by a reset", async () => {
    const cut = app(async ({ wire }) => {
      await wire.send("HTTP/1.1 200 OK\r\n\r\nonly this");
      wire.reset();
    });
    // 56, CURLE_RECV_ERROR
    for (const url of [`http://127.0.0.1:${cut.port}/`, await through(cut.port)])
      expect(await curl(url)).toMatchObject({ code: 56, stdout: "only this" });
  });

  testWith("curl", "asks with a body in a GET, and the app reads it", async () => {
    const { stdout } = await curl("-XGET", "-d", '{"query": "x"}', await through(echo().port));
    expect(JSON.parse(stdout)).toMatchObject({ line: "GET / HTTP/1.1", framing: "length", length: 14 });
  });

  testWith("curl", "shows what the app says: 103, reason, lines in their order and case, trailers", async () => {
    const early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
    const lines = ["x-lower: 1", "X-UPPER: 2", "Set-Cookie: a=1", "x-Mixed: 3", "Set-Cookie: b=2", "date: Fri, 27 Nov 2026 08:00:00 GMT", "Transfer-Encoding: chunked"]; // prettier-ignore
    const head = `HTTP/1.1 299 Nearly Fine\r\n${lines.join("\r\n")}\r\n\r\n`;
    const saying = app(({ wire }) => wire.send(`${early}${head}4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n`));
    for (const url of [`http://127.0.0.1:${saying.port}/`, await through(saying.port)])
      expect((await curl("--dump-header", "-", url)).stdout).toBe(`${early}${head}bodyX-Sum: 42\r\n`);
  });

  testWith("curl", "asks with a method of its own, and its lines reach the app in their order and case", async () => {
    const lines = ["x-lower: 1", "X-UPPER: 2", "x-Mixed: 3"];
    const { stdout } = await curl("-X", "VERSION-CONTROL", ...lines.flatMap((one) => ["-H", one]), await through(echo().port)); // prettier-ignore
    const asked = JSON.parse(stdout) as Echo;
    expect(asked.line).toBe("VERSION-CONTROL / HTTP/1.1");
    const theirs = asked.pairs.map((pair) => pair.join(": ")).filter((line) => !/^(Host|(X-)?Forwarded)/.test(line));
    expect(theirs).toEqual([expect.stringMatching(/^User-Agent: curl/), "Accept: */*", ...lines]);
  });

  describe.each(["PUT", "QUERY"])("%s without a body", (method) => {
    testWith("curl", "is not sent twice when the app's connection dies under it", async () => {
      const dying = app(async ({ head, wire }) => {
        if (head.method === "GET") await wire.send(answer(200));
        else wire.reset();
      });
      const url = await through(dying.port);
      const { stdout } = await curl(url, "--next", "-X", method, "-o", join(directory, method), "-w", "%{http_code}", url); // prettier-ignore
      expect(stdout).toBe("502");
      const [first, ...others] = dying.asked;
      expect(others.map(({ head, wire }) => [head.method, wire === first?.wire])).toEqual([[method, true]]);
    });
  });
});

describe("netcat", () => {
  testWith("nc.openbsd", "gets its answer after it has closed its half of the connection", async () => {
    const [asked, answered] = [Promise.withResolvers<Asked>(), Promise.withResolvers<void>()];
    const patient = app(async (one) => {
      asked.resolve(one);
      await answered.promise;
      await one.wire.send(answer(200, [], "here it is"));
    });
    const { port } = new URL(await through(patient.port));
    const running = ran(["nc.openbsd", "-N", "127.0.0.1", port], { input: "GET / HTTP/1.1\r\nHost: x\r\n\r\n" });
    await asked.promise;
    await until(() => hasHalfClosed(Number(port)));
    answered.resolve();
    const { code, stdout } = await running;
    // Before it stands a 100, with which the worker asks whether the client is gone altogether.
    expect([code, stdout.split("\r\n\r\n").at(-1)]).toEqual([0, "here it is"]);
  });
});

describe("Python", () => {
  testWith("/usr/lib/python3/dist-packages/requests/__init__.py", "requests gets the head of an event stream in which nothing happens", async () => {
    const silent = app(({ wire }) => wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")); // prettier-ignore
    const heard = await ran([PYTHON, fixture("events.py"), await through(silent.port)]);
    expect(heard).toEqual({ code: 0, stdout: "200 text/event-stream\n", stderr: "" });
  }); // prettier-ignore

  test("six WebSocket messages of 64 MiB that do not end cost the worker no memory", async () => {
    const [connections, mib] = [6, 64];
    const url = `${await webSocket(feed.port)}sink`;
    const before = stage.rss();
    const sender = startProgram([python, fixture("unfinished.py"), url, String(connections), String(mib)]);
    const taken = () => new Map([...feed.program.output().matchAll(/^(\S+) (\d+)$/gm)].map(([, id, sum]) => [id, Number(sum)])); // prettier-ignore
    try {
      await until(() => taken().size === connections && [...taken().values()].every((sum) => sum === mib * MIB), 90_000);
      expect(stage.rss() - before).toBeLessThan(64 * MIB);
    } finally {
      await sender.stop();
    }
  }, 120_000); // prettier-ignore

  test(`uvicorn keeps a WebSocket that is busy for ${TALK_SECONDS} s, and its pings reach the client`, async () => {
    const { code, stdout, stderr } = await long.talk.promise;
    expect([code, code === 0 ? "" : stderr]).toEqual([0, ""]);
    const { echoes, pings, code: closed } = JSON.parse(stdout) as Record<"echoes" | "pings" | "code", number>;
    expect(closed).toBe(1000);
    // Its own, after 20 and 40 s, and nobody else's.
    expect([1, 2]).toContain(pings);
    expect(echoes).toBeGreaterThan(100);
  }, LONG_MS); // prettier-ignore

  test(`a client that computes for ${BUSY_SECONDS} s has missed nothing`, async () => {
    const { code, stdout, stderr } = await long.busy.promise;
    expect([code, code === 0 ? "" : stderr]).toEqual([0, ""]);
    const { came, whole, code: closed } = JSON.parse(stdout) as { came: number; whole: boolean; code: number };
    expect([whole, closed]).toEqual([true, 1000]);
    expect(came).toBeGreaterThan(BUSY_SECONDS);
  }, LONG_MS); // prettier-ignore
});

describe("Java", () => {
  testWith("javac", "uploads once the app has said 100 Continue", async () => {
    const asking = app(async ({ head, wire, body }) => {
      if (head.get("expect")?.toLowerCase() === "100-continue") await wire.send("HTTP/1.1 100 Continue\r\n\r\n");
      await wire.send(answer(200, [], `${head.get("expect")} ${(await body()).bytes.length}`));
    });
    const uploaded = await ran(["java", fixture("Upload.java"), await through(asking.port), String(3 * MIB)]);
    expect(uploaded).toMatchObject({ code: 0, stdout: `200 100-Continue ${3 * MIB}\n` });
  });
});

// --- internal ---

function curl(...args: string[]): Promise<Ran> {
  return ran(["curl", "--silent", "--http1.1", "--noproxy", "*", ...args]);
}

/** A server of Python's; without files beside its own. */
async function startServer(command: (port: number) => string[]): Promise<{ program: Program; port: number }> {
  const port = await freePort();
  const program = startProgram(command(port), { env: { PYTHONDONTWRITEBYTECODE: "1" } });
  stack.defer(() => program.stop());
  await listens(program, port);
  return { program, port };
}

/** A connection to this port whose client will send no more; proc(5): its state is 08, CLOSE_WAIT. */
function hasHalfClosed(port: number): boolean {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1);
  return rows.map((row) => row.trim().split(/\s+/)).some(([, at, , state]) => at === local && state === "08");
}
