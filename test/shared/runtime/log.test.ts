/** What a log line may hold of a URL and of a request, and how levels are called. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { createLog, redactUrl } from "../../../shared/runtime/log.ts";
import { ROOT } from "../../support/spawned.ts";

test.each([
  ["/setup?token=eyJ.a.b", "/setup?token=[redacted]"],
  ["/_appproxy/enter?t=t1.a.b", "/_appproxy/enter?t=[redacted]"],
  ["/start?directTCP=true&auth=abc&proto=tcp", "/start?directTCP=true&auth=[redacted]&proto=tcp"],
  ["/a?token=1&x=2&t=3&auth=4#end", "/a?token=[redacted]&x=2&t=[redacted]&auth=[redacted]#end"],
  ["/a?token=1&token=2", "/a?token=[redacted]&token=[redacted]"],
  ["/setup?token=eyJ.a.b&permit_key=old", "/setup?token=[redacted]&permit_key=[redacted]"],
  ["http://h:1/a?token=x%26y", "http://h:1/a?token=[redacted]"],
  ["/a?token=", "/a?token=[redacted]"],
  [
    "/v2/proxy/2a5c1d0e-6f1b-4c57-9a9e-0d7f0c1b2a3d/5e5e5e5e-0000-4000-8000-000000000001/add?app=x",
    "/v2/proxy/[redacted]/5e5e5e5e-0000-4000-8000-000000000001/add?app=x",
  ],
  [
    "/v2/proxy/2A5C1D0E-6F1B-4C57-9A9E-0D7F0C1B2A3D/5e5e5e5e-0000-4000-8000-000000000001/delete",
    "/v2/proxy/[redacted]/5e5e5e5e-0000-4000-8000-000000000001/delete",
  ],
])("%s is logged as %s", (url, logged) => {
  expect(redactUrl(url)).toBe(logged);
});

test.each(["/", "/lab?x=1&tokens=2&author=3&at=4", "/token/auth/t", "/v2/proxy/auth?app=jupyter", "/t=1/auth=2"])(
  "%s holds nothing to hide",
  (url) => {
    expect(redactUrl(url)).toBe(url);
  },
);

test.each([
  ["info", "info"],
  ["DEBUG", "debug"],
  ["WARNING", "warn"],
  ["warn", "warn"],
  ["CRITICAL", "fatal"],
  ["trace", "trace"],
])("level %s of the original is %s", (given, level) => {
  expect(createLog("test", given).level).toBe(level);
});

test("what a request says stays in its one line, whatever it holds, and formats nothing", () => {
  const said = 'a\n{"level":"error"}\r\u001b[2J\u0000 %s %j';
  const write = `
    import { createLog } from ${JSON.stringify(join(ROOT, "shared/runtime/log.ts"))};
    createLog("test", "info").info({ url: ${JSON.stringify(said)} }, ${JSON.stringify(said)});`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", write]);
  const [line = "", ...more] = stdout.toString().split("\n");
  expect(more).toEqual([""]);
  expect(line).toMatch(/^[\x20-\x7e]*$/);
  expect(JSON.parse(line)).toMatchObject({ level: "info", url: said, msg: said });
});
