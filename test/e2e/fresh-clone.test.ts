/** The first command of the README in a folder without packages: it installs them and shows the main job. */
import { expect, test } from "bun:test";
import { atEnd } from "../support/at-end.ts";
import { freshClone } from "../support/clone.ts";
import { startOutside } from "../support/outside.ts";
import { holdName } from "../support/ports.ts";
import { until } from "../support/until.ts";

test(
  "quickstart runs on a fresh clone",
  async () => {
    const lock = await holdName("quickstart");
    atEnd(() => lock.stop());
    const clone = freshClone();
    let printed = "";
    const child = startOutside([process.execPath, "run", "quickstart"], {
      cwd: clone,
      detached: true,
      read: (_, text) => void (printed += text ?? ""),
    });
    atEnd(async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    const link = await until(
      () => {
        if (child.exitCode !== null) throw new Error(`quickstart ended with ${child.exitCode}: ${printed}`);
        return /Open this in a browser[^\n]*\n\n\s+(http\S+)/.exec(printed)?.[1];
      },
      5 * 60_000,
      "quickstart prints its link",
    );
    expect(printed).toContain("Installing");
    expect((await fetch(link, { redirect: "manual" })).status).toBe(302);
    process.kill(-child.pid, "SIGINT");
    expect(await child.exited).toBe(0);
    expect(printed).toContain("Stopped; nothing is left behind.");
  },
  20 * 60_000,
);
