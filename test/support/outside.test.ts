/** Real test files in a runner of their own: what a test that passes its limit does to programs that others need. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOutside } from "./outside.ts";
import { ROOT } from "./spawned.ts";
import { until } from "./until.ts";

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

interface Run {
  runner: Bun.Subprocess<"ignore", "ignore", "pipe">;
  /** What the file's tests have noted. */
  noted: (name: string) => string | null;
}

/** Runs a test file; its `note(name, text)` leaves words behind. */
function runFile(body: string): Run {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-outside-"));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const head = `
    import { beforeAll, expect, test } from "bun:test";
    import { writeFileSync, renameSync } from "node:fs";
    import { startOutside } from ${JSON.stringify(join(ROOT, "test/support/outside.ts"))};
    import { startRedis } from ${JSON.stringify(join(ROOT, "test/support/redis.ts"))};
    function note(name, text) {
      writeFileSync(name + ".part", String(text));
      renameSync(name + ".part", name);
    }`;
  writeFileSync(join(directory, "one.test.ts"), head + body);
  const runner = Bun.spawn([process.execPath, "test", "./one.test.ts"], {
    cwd: directory,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  stack.defer(() => runner.kill("SIGKILL"));
  return {
    runner,
    noted(name) {
      const path = join(directory, name);
      return existsSync(path) ? readFileSync(path, "utf8") : null;
    },
  };
}

function runs(pid: number): boolean {
  try {
    // A zombie is gone: nobody may be left to ask for its exit code.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

test("a test that passes its limit ends its own processes, and neither Redis nor programs of the file", async () => {
  const { runner, noted } = runFile(`
    let redis, program, own;
    beforeAll(async () => {
      redis = await startRedis();
      program = startOutside(["sleep", "1000"]);
      own = Bun.spawn(["sleep", "1000"], { detached: true });
      note("pid", program.pid);
    });
    test("one passes its limit", () => new Promise(() => undefined), 100);
    test("one that comes later", async () => {
      await redis.stop();
      await redis.start();
      note("state", [program.exitCode, program.signalCode, await own.exited]);
    });`);
  const said = await new Response(runner.stderr).text();
  expect(said).toContain("killed 1 dangling process");
  expect(said).toContain("1 pass");
  expect(noted("state")).toBe(",,143");
  // The runner has ended, and with it what it did not end.
  const pid = Number(noted("pid"));
  await until(() => !runs(pid), 30_000, "the program to be gone");
});

test("Chromium goes on too", async () => {
  const { runner, noted } = runFile(`
    import { startBrowser } from ${JSON.stringify(join(ROOT, "test/support/browser.ts"))};
    let browser;
    beforeAll(async () => void (browser = await startBrowser()), 60_000);
    test("one passes its limit", () => new Promise(() => undefined), 100);
    test("one that comes later", async () => {
      const page = await browser.newPage();
      note("sum", await page.evaluate("6 * 7"));
      await browser.close();
    }, 60_000);`);
  const said = await new Response(runner.stderr).text();
  expect(said).toContain("killed 1 dangling process");
  expect(noted("sum")).toBe("42");
});

test("nothing is left of a test process that is killed", async () => {
  const { runner, noted } = runFile(`
    test("is killed meanwhile", async () => {
      const redis = await startRedis();
      note("redis", redis.port);
      const program = startOutside(["sleep", "1000"], { detached: true });
      note("pid", program.pid);
      await new Promise(() => undefined);
    }, 600_000);`);
  const pid = Number(await until(() => noted("pid"), 30_000));
  const port = Number(noted("redis"));
  expect(runs(pid)).toBe(true);
  runner.kill("SIGKILL");
  await until(() => !runs(pid), 30_000, "the program to be gone");
  const isRefused = () =>
    Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } }).then(
      (socket) => void socket.end(),
      () => true,
    );
  await until(isRefused, 30_000, "Redis to be gone");
});

test("what it writes is read, and its exit code and signal are told", async () => {
  const heard: [string, string | null][] = [];
  const child = startOutside(["sh", "-c", "echo $WORD; echo oops >&2; exit 3"], {
    env: { WORD: "grüß" },
    read: (stream, text) => void heard.push([stream, text]),
  });
  expect(await child.exited).toBe(3);
  await until(() => heard.filter(([, text]) => text === null).length === 2);
  expect(heard.toSorted().map(String)).toEqual(["stderr,", "stderr,oops\n", "stdout,", "stdout,grüß\n"]);
  const other = startOutside(["sleep", "1000"]);
  expect([other.exitCode, other.signalCode]).toEqual([null, null]);
  other.kill("SIGKILL");
  expect(await other.exited).toBe(137);
  expect([other.exitCode, other.signalCode]).toEqual([null, "SIGKILL"]);
  other.kill(); // has ended: nobody else's process is hit
});

test("a program that is not there is named", () => {
  expect(() => startOutside(["no-such-program"])).toThrow("Cannot start no-such-program: not in PATH");
});
