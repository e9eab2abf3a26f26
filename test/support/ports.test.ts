import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { blocksOutside, ephemeralRange, freePort, freeRange, hold } from "./ports.ts";
import { until } from "./until.ts";

type Range = [low: number, count: number];

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

/** A process that takes ranges of these sizes and keeps them until it dies. */
async function holder(counts: number[]): Promise<{ ranges: Range[]; kill: () => Promise<unknown> }> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "ports-probe.ts"), ...counts.map(String)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const kill = () => {
    child.kill("SIGKILL");
    return child.exited;
  };
  stack.defer(async () => void (await kill()));
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return { ranges: JSON.parse(text) as Range[], kill };
}

const portsOf = (ranges: Range[]) =>
  ranges.flatMap(([low, count]) => Array.from({ length: count }, (_, at) => low + at));

describe("ports of tests", () => {
  test("ten processes that ask at once, and this one, get ranges without a port in common", async () => {
    const counts = [1, 64, 8, 24, 1, 3, 17, 1, 64, 8];
    const holders = await Promise.all(Array.from({ length: 10 }, () => holder(counts)));
    const mine: Range[] = [];
    for (const count of counts) mine.push([await freeRange(count), count]);
    const all = [...holders.flatMap(({ ranges }) => portsOf(ranges)), ...portsOf(mine)];
    expect(all.length).toBe(11 * counts.reduce((sum, count) => sum + count));
    expect(all.length - new Set(all).size).toBe(0);
  });

  test("what a process holds is nobody else's until it dies, also when it is killed", async () => {
    const { ranges, kill } = await holder([16]);
    const [[low]] = ranges as [Range];
    expect(hold(low)).toBeNull();
    await kill();
    const lock = await until(() => hold(low));
    stack.defer(() => lock.stop(true));
    expect(hold(low)).toBeNull();
  });

  test("a port on which another program listens is stepped over", async () => {
    const next = await freePort();
    const other = Bun.listen({ hostname: "127.0.0.1", port: next + 1, socket: { data() {} } });
    stack.defer(() => other.stop(true));
    const range = portsOf([[await freeRange(4), 4]]);
    expect(range).not.toContain(next + 1);
  });

  test("no port is one that the kernel gives to connections", async () => {
    const text = await Bun.file("/proc/sys/net/ipv4/ip_local_port_range").text();
    const [first, last] = ephemeralRange(text);
    const port = await freePort();
    expect(port < first || port > last).toBe(true);
  });

  test.each([
    ["32768\t60999\n", [32_768, 60_999]],
    ["1024 65535", [1024, 65_535]],
    ["", [32_768, 60_999]],
  ])("the kernel's range is read from %j", (text, range) => {
    expect(ephemeralRange(text)).toEqual(range as [number, number]);
  });

  test("where the kernel's range covers all, blocks inside it are taken", () => {
    expect(blocksOutside([1024, 65_535]).length).toBeGreaterThan(3000);
    expect(blocksOutside([32_768, 60_999]).every((low) => low + 16 <= 32_768 || low > 60_999)).toBe(true);
  });
});
