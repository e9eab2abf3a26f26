/** The kernel's ephemeral range and the worker's: said at the start and by --check. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadWorkerConfig } from "../../../worker/config.ts";
import { ephemeralWarning } from "../../../worker/listeners/linux-ephemeral.ts";
import { ROOT } from "../../support/spawned.ts";
import { workerToml } from "../../support/toml.ts";

const config = (range: [number, number], worker: Record<string, unknown> = {}) =>
  loadWorkerConfig(
    "test",
    workerToml("http://127.0.0.1:1", 1, 1, { worker: { port_proxy: { bind_port_range: range }, ...worker } }),
    {},
  ).values.proxy_worker;
const kernel =
  (range: string | null, reserved = "") =>
  (path: string) =>
    path.endsWith("range") ? range : reserved;
const usual = "32768\t60999\n";

describe("a range", () => {
  test.each<[string, [number, number], string, string]>([
    ["inside", [40_000, 40_100], "", "40000-40100"],
    ["half inside", [32_000, 33_000], "", "32768-33000"],
    ["that ends in it", [60_999, 61_200], "", "60999-60999"],
    ["of which a part is reserved", [40_000, 40_100], "40000-40050\n", "40000-40100"],
  ])("%s the kernel's is told, with what cures it", (_what, range, reserved, ports) => {
    expect(ephemeralWarning(config(range), kernel(usual, reserved))).toBe(
      `Ports ${ports} of proxy_worker.port_proxy.bind_port_range lie in the kernel's ephemeral range 32768-60999: ` +
        `outgoing connections take them from circuits. Reserve them: sysctl -w net.ipv4.ip_local_reserved_ports=${ports}, ` +
        "or choose another range",
    );
  });

  test.each<[string, [number, number], string | null, string]>([
    ["outside", [10_205, 10_300], usual, ""],
    ["that is reserved", [40_000, 40_100], usual, "22,39000-40050,40051-40100\n"],
    ["where the kernel says nothing", [40_000, 40_100], null, ""],
  ])("%s is not", (_what, range, kernels, reserved) => {
    expect(ephemeralWarning(config(range), kernel(kernels, reserved))).toBeNull();
  });

  test("of a worker in wildcard mode does not matter", () => {
    const wild = { frontend_mode: "wildcard", wildcard_domain: { domain: ".apps.example" } };
    expect(ephemeralWarning(config([40_000, 40_100], wild), kernel(usual))).toBeNull();
  });
});

// Elsewhere there is nothing to read.
test.if(process.platform === "linux")("--check says it", async () => {
  const [first = 0] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1").split(/\s+/).map(Number);
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-ephemeral-"));
  const file = join(directory, "worker.toml");
  writeFileSync(
    file,
    workerToml("http://127.0.0.1:1", 1, 1, { worker: { port_proxy: { bind_port_range: [first, first + 9] } } }),
  );
  const child = Bun.spawn([process.execPath, join(ROOT, "worker/main.ts"), "--config", file, "--check"], {
    stdout: "pipe",
  });
  const said = await new Response(child.stdout).text();
  rmSync(directory, { recursive: true });
  expect([await child.exited, said]).toEqual([0, expect.stringContaining("lie in the kernel's ephemeral range")]);
});
