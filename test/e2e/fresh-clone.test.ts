/** The first command of the README in a folder without packages: it installs them and shows the main job. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ROOT } from "../support/spawned.ts";
import { until } from "../support/until.ts";

test("quickstart runs on a fresh clone", async () => {
  const clone = mkdtempSync(join(tmpdir(), "app-proxy-clone-"));
  const { stdout } = Bun.spawnSync(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
  });
  for (const file of stdout
    .toString()
    .split("\0")
    .filter((name) => name !== "" && existsSync(join(ROOT, name)))) {
    mkdirSync(join(clone, dirname(file)), { recursive: true });
    cpSync(join(ROOT, file), join(clone, file));
  }
  const child = Bun.spawn([process.execPath, "run", "quickstart"], {
    cwd: clone,
    stdout: "pipe",
    stderr: "inherit",
    detached: true,
  });
  let printed = "";
  void (async () => {
    for await (const chunk of child.stdout) printed += new TextDecoder().decode(chunk);
  })();
  const link = await until(
    () => /Open this in a browser[^\n]*\n\n\s+(http\S+)/.exec(printed)?.[1],
    60_000,
    "quickstart prints its link",
  );
  expect(printed).toContain("Installing");
  expect((await fetch(link, { redirect: "manual" })).status).toBe(302);
  process.kill(-child.pid, "SIGINT");
  expect(await child.exited).toBe(0);
  expect(printed).toContain("Stopped; nothing is left behind.");
  rmSync(clone, { recursive: true, force: true });
}, 90_000);
