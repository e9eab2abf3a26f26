/** Bun reads two limits only at its start: a service has them however it was started. */
import { expect, test } from "bun:test";
import { join } from "node:path";

const PROBE = join(import.meta.dir, "../../support/limits-probe.ts");
const VARIABLE = "BUN_CONFIG_MAX_HTTP_REQUESTS";

async function start(flags: string[], requests?: string, config = "a file") {
  const { [VARIABLE]: _inherited, ...env } = process.env;
  const child = Bun.spawn([process.execPath, ...flags, PROBE, "--config", config], {
    env: requests === undefined ? env : { ...env, [VARIABLE]: requests },
    stdout: "pipe",
  });
  const said = JSON.parse(await new Response(child.stdout).text()) as unknown;
  return { pid: child.pid, said, code: await child.exited };
}

test.each([
  ["without anything", [], undefined, "65000"],
  ["with the request limit only", [], "1000", "1000"],
  ["with the header limit only", ["--max-http-header-size=65536"], undefined, "65000"],
  ["with both", ["--max-http-header-size=65536"], "1000", "1000"],
  ["with a larger header limit", ["--max-http-header-size=100000"], "1000", "1000"],
])("a service started %s has both, in the same process, with its arguments", async (_how, flags, given, requests) => {
  const { pid, said, code } = await start(flags, given);
  const maxHeaderSize = flags.includes("--max-http-header-size=100000") ? 100_000 : 65_536;
  expect({ said, code }).toEqual({ said: { pid, maxHeaderSize, requests, args: ["--config", "a file"] }, code: 0 });
});

test("one whose configuration is a pipe of the shell's goes on as it is: the pipe would be lost", async () => {
  const { pid, said } = await start(["--max-http-header-size=65536"], undefined, "/dev/fd/63");
  expect(said).toEqual({ pid, maxHeaderSize: 65_536, args: ["--config", "/dev/fd/63"] });
});

test("one that was started with a relative --cwd does not change its folder twice", async () => {
  const { pid, said } = await start(["--cwd=test"]);
  expect(said).toEqual({ pid, maxHeaderSize: 65_536, requests: "65000", args: ["--config", "a file"] });
});
