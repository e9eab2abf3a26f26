/** Lines on their way to pipes, sockets and terminals that nobody reads for a while, or ever: real ones, as operators have them. */
import { dlopen, ptr } from "bun:ffi";
import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QueuedOutput } from "../../../shared/runtime/log-output.ts";
import { openLogStream, viaPoll } from "../../../shared/runtime/log-stream.ts";
import { ROOT } from "../../support/spawned.ts";
import { until } from "../../support/until.ts";

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;
const MOST = 100_000;

const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).toReversed()) step();
});

interface Channel {
  /** Where a service writes. It stays open: what waits in an output must not reach whoever would get its number next. */
  writer: number;
  /** All that is in it now. */
  read: () => string;
  /** The reader leaves. */
  close: () => void;
}

/** A pipe with a name, so that it can have another reader later. */
function pipe(): Channel & { reopen: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-log-"));
  undo.push(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "pipe");
  Bun.spawnSync(["mkfifo", path]);
  const open = () => openSync(path, O_RDONLY | O_NONBLOCK);
  let reader: number | null = open();
  const writer = openSync(path, O_WRONLY);
  const close = () => {
    if (reader !== null) closeSync(reader);
    reader = null;
  };
  undo.push(close);
  const read = () => everything((bytes) => taken(reader ?? -1, bytes));
  return { writer, read, close, reopen: () => (reader = open()) };
}

const { socketpair, recv } = dlopen("libc.so.6", {
  socketpair: { args: ["int", "int", "int", "ptr"], returns: "int" },
  recv: { args: ["int", "ptr", "usize", "int"], returns: "i64" },
}).symbols;

/** A pair of sockets, of which systemd gives its services one for its journal. */
function socket(): Channel {
  const [AF_UNIX, SOCK_STREAM, MSG_DONTWAIT] = [1, 1, 0x40];
  const pair = new Int32Array(2);
  socketpair(AF_UNIX, SOCK_STREAM, 0, ptr(pair));
  const [writer = -1, reader = -1] = pair;
  let isOpen = true;
  const close = () => {
    if (isOpen) closeSync(reader);
    isOpen = false;
  };
  undo.push(close);
  const read = () => everything((bytes) => Math.max(0, Number(recv(reader, ptr(bytes), bytes.length, MSG_DONTWAIT))));
  return { writer, read, close };
}

function everything(take: (bytes: Buffer) => number): string {
  const bytes = Buffer.alloc(65_536);
  let text = "";
  for (let count = take(bytes); count > 0; count = take(bytes)) text += bytes.toString("latin1", 0, count);
  return text;
}

function taken(fd: number, bytes: Buffer): number {
  try {
    return readSync(fd, bytes);
  } catch {
    return 0; // empty now
  }
}

const told = (dropped: number) => `dropped ${dropped}\n`;
const flagsOf = (fd: number) => /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];

describe.each([
  ["a pipe, opened once more", pipe, openLogStream],
  ["a pipe, asked before each write", pipe, viaPoll],
  ["a socket", socket, openLogStream],
  ["a socket, asked before each write", socket, viaPoll],
])("%s", (_, channel, open) => {
  test("takes lines at once, whole and in order, and stays as it is for others", () => {
    const { writer, read } = channel();
    const flags = flagsOf(writer);
    const output = new QueuedOutput(open(writer), told, MOST);
    for (const line of ["a\n", "b\n", "c\n"]) output.write(line);
    expect(read()).toBe("a\nb\nc\n");
    expect(flagsOf(writer)).toBe(flags);
  });

  test("that nobody reads keeps nobody waiting; later come what waited, in order, and how many were dropped", async () => {
    const { writer, read } = channel();
    const output = new QueuedOutput(open(writer), told, MOST);
    const line = (at: number) => `${String(at).padStart(4, "0")} ${"x".repeat(94)}`;
    const count = 10_000;
    for (let at = 0; at < count; at++) output.write(`${line(at)}\n`);
    let text = "";
    // By itself, without another line.
    await until(() => (text += read()).endsWith("\n") && text.includes("dropped"));
    const lines = text.trimEnd().split("\n");
    const last = lines.pop();
    expect(lines).toEqual(lines.map((__, at) => line(at)));
    expect(last).toBe(`dropped ${count - lines.length}`);
    expect(lines.length).toBeGreaterThan(MOST / 100);
    output.write("again\n");
    expect(read()).toBe("again\n");
  });

  test("takes lines that are longer than it is, whole", async () => {
    const { writer, read } = channel();
    const output = new QueuedOutput(open(writer), told);
    const long = "é".repeat(400_000);
    output.write(`${long}\n`);
    output.write("next\n");
    let text = "";
    await until(() => (text += read()).endsWith("next\n"));
    expect(Buffer.from(text, "latin1").toString() === `${long}\nnext\n`).toBe(true);
  });

  test("whose reader is gone ends nothing", () => {
    const { writer, close } = channel();
    const output = new QueuedOutput(open(writer), told, MOST);
    output.write("read by nobody\n");
    close();
    for (let at = 0; at < 10_000; at++) output.write(`${"x".repeat(99)}\n`);
    const start = performance.now();
    output.flush(60_000);
    expect(performance.now() - start).toBeLessThan(50_000);
  });

  test("is waited for at the end, and not for ever", () => {
    const { writer, read } = channel();
    const output = new QueuedOutput(open(writer), told);
    for (let at = 0; at < 10_000; at++) output.write(`${"x".repeat(99)}\n`);
    const start = performance.now();
    output.flush(50);
    expect(performance.now() - start).toBeGreaterThanOrEqual(50);
    const before = read();
    output.flush(50);
    expect(read().length).toBeGreaterThan(0);
    expect(before.length).toBeLessThan(1_000_000);
  });
});

test("another reader of a named pipe is told how many lines it has missed", async () => {
  const { writer, read, close, reopen } = pipe();
  const output = new QueuedOutput(openLogStream(writer), told, MOST);
  output.write("first\n");
  read();
  close();
  for (let at = 0; at < 5; at++) output.write("lost\n");
  reopen();
  output.write("found\n");
  expect(read()).toBe("dropped 5\nfound\n");
});

const LINES = 5000;

/** A process that logs more than any buffer and its own memory for it take, and then says so in a file. */
function talkative(file: string): string[] {
  const write = `
    import { writeFileSync } from "node:fs";
    import { createLog } from ${JSON.stringify(join(ROOT, "shared/runtime/log.ts"))};
    const log = createLog("test", "info");
    for (let at = 0; at < ${LINES}; at++) log.info({ at, pad: "x".repeat(300) }, "line");
    writeFileSync(${JSON.stringify(file)}, "done");
    if (process.argv.includes("stay")) await new Promise((resolve) => setTimeout(resolve, 600_000));`;
  return [process.execPath, "-e", write];
}

describe("a process that logs to", () => {
  const place = () => {
    const directory = mkdtempSync(join(tmpdir(), "app-proxy-log-"));
    undo.push(() => rmSync(directory, { recursive: true }));
    return join(directory, "done");
  };

  test("a socket that nobody reads goes on, and tells later how many lines were dropped", async () => {
    const file = place();
    const { writer, read } = socket();
    const child = Bun.spawn([...talkative(file), "stay"], { stdout: writer, stderr: "ignore" });
    undo.push(() => child.kill("SIGKILL"));
    await until(() => readFileSync(file, { encoding: "utf8", flag: "a+" }) === "done");
    let text = "";
    await until(() => (text += read()).includes('"dropped"') && text.endsWith("\n"));
    const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore
    const last = lines.pop();
    const dropped = LINES - lines.length;
    expect(lines.map(({ at }) => at)).toEqual(lines.map((_, at) => at));
    expect(last).toMatchObject({ level: "warn", service: "test", dropped });
    expect(last?.["msg"]).toStartWith(`${dropped} lines were dropped`);
  });

  test("a pipe whose reader has left ends as it would", async () => {
    const file = place();
    const { exitCode } = Bun.spawnSync(["sh", "-c", '{ "$@"; echo $? >&2; } | true', "sh", ...talkative(file)]);
    expect(exitCode).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("done");
  });

  test("a pipe that nobody reads ends in time", async () => {
    const { writer } = pipe();
    const file = place();
    const child = Bun.spawn(talkative(file), { stdout: writer, stderr: writer });
    expect(await child.exited).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("done");
  });

  test("a terminal that was stopped (Ctrl-S) goes on", async () => {
    const file = place();
    const terminal = new Bun.Terminal({ data: () => {} });
    undo.push(() => terminal.close());
    terminal.write("\u0013");
    const child = Bun.spawn(talkative(file), { terminal });
    expect(await child.exited).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("done");
  });

  test("a file writes all of it there, behind what others write", () => {
    const file = place();
    const log = `${file}.log`;
    const fd = openSync(log, "a");
    undo.push(() => closeSync(fd));
    writeSync(fd, "before\n");
    Bun.spawnSync(talkative(file), { stdout: fd });
    writeSync(fd, "after\n");
    const lines = readFileSync(log, "utf8").split("\n");
    expect([lines.length, lines[0], lines.at(-2)]).toEqual([LINES + 3, "before", "after"]);
  });
});
