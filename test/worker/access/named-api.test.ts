/** A second look without any key for it: the API's name leads to both families, or to one (security 6). Real names, in a network of their own. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inOwnNetwork, whyNoOwnNetwork } from "../../support/own-network.ts";
import { ROOT } from "../../support/spawned.ts";

const PROGRAM = join(import.meta.dir, "named-api/program.ts");

interface Seen {
  first: string[];
  before: number;
  second: string[] | null;
  after: number;
}

/** Runs the program where `name` has these addresses. */
async function seenWith(name: string, addresses: readonly string[]): Promise<Seen> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-names-"));
  const hosts = join(directory, "hosts");
  writeFileSync(hosts, ["127.0.0.1 localhost", ...addresses.map((address) => `${address} ${name}`), ""].join("\n"));
  const mounted = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts];
  const command = inOwnNetwork([...mounted, process.execPath, PROGRAM, name]);
  const child = Bun.spawn(command, { cwd: ROOT, stdout: "pipe", stderr: "inherit", timeout: 120_000 });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  rmSync(directory, { recursive: true, force: true });
  return JSON.parse(text) as Seen;
}

const missing = whyNoOwnNetwork();
const skipped = missing === null ? "" : ` (skipped: ${missing})`;

test.skipIf(missing !== null)(
  `a name of both families lets in both addresses${skipped}`,
  async () => {
    const { first, ...seen } = await seenWith("both.example", ["127.0.0.1", "::1"]);
    expect(["127.0.0.1", "::1"]).toContain(first[0] ?? "");
    expect(seen).toEqual({ before: 1, second: ["127.0.0.1", "::1"], after: 2 });
  },
  180_000,
);

test.skipIf(missing !== null)(
  `a name of one family lets in one address, and says which${skipped}`,
  async () => {
    const seen = await seenWith("six.example", ["::1"]);
    expect(seen).toEqual({ first: ["::1"], before: 1, second: null, after: 1 });
  },
  180_000,
);
