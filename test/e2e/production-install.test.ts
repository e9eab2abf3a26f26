/** What the README tells operators to install, in a fresh folder: all that both services and the Swagger page need, and no more. */
import { expect, test } from "bun:test";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { atEnd } from "../support/at-end.ts";
import { freshClone } from "../support/clone.ts";
import { newKernel } from "../support/manager.ts";
import { startOutside } from "../support/outside.ts";
import { startRedis } from "../support/redis.ts";
import { spawnCluster } from "../support/spawned.ts";

/** Packages that others name as their peers, and that nothing here runs. */
const PEERS = ["typescript", "@typescript", "bun-types", "@types", "undici-types", "file-type"];
/** Measured: 50 MB, of 105 with them and a page's themes. */
const MOST_MB = 60;

/** Bytes that the files in a folder take. */
function size(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => lstatSync(join(folder, name)))
    .reduce((sum, file) => sum + (file.isFile() ? file.blocks * 512 : 0), 0);
}

test(
  "carries what runs and nothing else, and both services and the Swagger page work with it",
  async () => {
    const root = freshClone();
    let said = "";
    const install = startOutside([process.execPath, "install", "--frozen-lockfile", "--production"], {
      cwd: root,
      read: (_, text) => void (said += text ?? ""),
    });
    atEnd(() => install.kill("SIGKILL"));
    expect([await install.exited, said]).toEqual([0, expect.stringContaining("packages installed") as string]);
    const packages = join(root, "node_modules");
    expect(PEERS.filter((name) => existsSync(join(packages, name)))).toEqual([]);
    expect(size(join(packages, "@elysiajs")) / 2 ** 20).toBeLessThan(1);
    expect(existsSync(join(packages, "@scalar/themes"))).toBe(false);
    expect(size(packages) / 2 ** 20).toBeLessThan(MOST_MB);

    const redis = await startRedis();
    atEnd(() => redis.stop());
    const cluster = await spawnCluster({ redisPort: redis.port, root });
    atEnd(() => cluster.stop());
    const { manager } = cluster;
    expect(cluster.coordinator.lines.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
    const { token } = await manager.conf(newKernel());
    expect(token).toMatch(/^[0-9a-f-]{36}$/);
    const page = await fetch(`${manager.baseUrl}/swagger`);
    const assets = [...(await page.text()).matchAll(/(?:href|src)="(\/swagger\/[^"]+)"/g)].map(([, path]) => path);
    expect(assets.length).toBeGreaterThanOrEqual(4);
    for (const path of [...assets, "/swagger/json"])
      expect([path, (await fetch(`${manager.baseUrl}${path}`)).status]).toEqual([path, 200]);
    const document = (await (await fetch(`${manager.baseUrl}/swagger/json`)).json()) as { paths: object };
    expect(Object.keys(document.paths)).toContain("/v2/conf");
  },
  20 * 60_000,
);
