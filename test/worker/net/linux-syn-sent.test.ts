/** Which connections of ours are not there yet: seen in the kernel's tables, those of other processes left out. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connecting } from "../../../worker/net/linux-syn-sent.ts";
import { dial } from "../../../worker/net/dial.ts";
import { blackhole } from "../../contract/blackhole.ts";
import { until } from "../../support/until.ts";
import { atEnd } from "../../support/at-end.ts";
import { judged } from "../../../worker/net/targets.ts";

const quiet = { data: () => undefined };

test("a connection that nobody accepts is counted, by address and by name", async () => {
  const hole = await blackhole();
  atEnd(() => hole.stop());
  expect(await connecting("127.0.0.1", hole.port)).toBe(0);
  const { socket, cancel } = dial(judged("127.0.0.1", hole.port), undefined, quiet);
  socket.catch(() => undefined);
  await until(async () => (await connecting("127.0.0.1", hole.port)) === 1);
  expect([await connecting("localhost", hole.port), await connecting("127.0.0.2", hole.port)]).toEqual([1, 0]);
  cancel();
});

test("a connection of another process is not ours", async () => {
  const hole = await blackhole();
  atEnd(() => hole.stop());
  const { port } = hole;
  const code = `require("node:net").connect(${port}, "127.0.0.1")`;
  const other = Bun.spawn([process.execPath, "-e", code]);
  const hanging = `:${port.toString(16).toUpperCase().padStart(4, "0")} 02`;
  await until(() => readFileSync("/proc/self/net/tcp", "utf8").includes(hanging));
  expect(await connecting("127.0.0.1", port)).toBe(0);
  other.kill("SIGKILL");
  await other.exited;
});
