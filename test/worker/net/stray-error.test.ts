/** What becomes of an error that a socket's handler throws: its connection ends, and nobody swallows it. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../../support/spawned.ts";

const PROGRAM = `
  import { strayError } from "${join(ROOT, "worker/net/stray-error.ts")}";
  process.on("uncaughtException", (error) => console.log("told", error.message));
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: {
    data() { throw new Error("ours"); },
    close: () => console.log("closed"),
    error: strayError,
  } });
  await Bun.connect({ hostname: "127.0.0.1", port: listener.port, socket: {
    open: (socket) => void socket.write("hi"),
    data() {},
    close: () => setTimeout(() => process.exit(0), 0),
  } });
`;

test("it reaches the process, and the connection is gone", async () => {
  const child = Bun.spawn([process.execPath, "-e", PROGRAM], { stdout: "pipe", stderr: "inherit" });
  expect((await new Response(child.stdout).text()).trim().split("\n").toSorted()).toEqual(["closed", "told ours"]);
  expect(await child.exited).toBe(0);
});
