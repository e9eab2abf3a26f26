/**
 * Targets under attack (security 7): whatever spelling or name of an address the platform is told, and whatever the name leads to
 * when it is dialled, nothing is connected to but kernels. Played in a network in which every address would answer.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inOwnInternet, whyNoOwnNetwork } from "../support/own-network.ts";
import type { Dialled } from "./targets/dial.ts";
import type { Findings } from "./targets/inside.ts";
import { ENGINES, ROWS, WAYS, type TargetRow } from "./targets/rows.ts";

const LIMIT_MS = 300_000;
const REFUSED = "The app's address is not one that apps may have";

const missing = whyNoOwnNetwork();
let found: Findings;

test("the table is as long as it is said to be, and names each row once", () => {
  expect(ROWS.length).toBeGreaterThanOrEqual(90);
  expect(new Set(ROWS.map(({ name, host }) => `${name} ${host}`)).size).toBe(ROWS.length);
});

describe.skipIf(missing !== null)(`targets${missing === null ? "" : ` (${missing})`}`, () => {
  beforeAll(async () => void (found = await play()), LIMIT_MS);

  test.each(ROWS.map((row, at) => ({ ...row, at })))("$name, $host: the API says $api", ({ api, at }) => {
    const { conf, replaced, registered } = found.api.rows[at] ?? {};
    expect([conf?.[0], replaced?.[0], registered?.[0]]).toEqual([api, api === 200, api === 200]);
    if (api === 200) return;
    for (const why of [conf?.[1], replaced?.[1], registered?.[1]]) expect(why).toContain("kernel_host");
  });

  test("where kernel_host_cidrs has all addresses, what no kernel can have stays out", () => {
    // The other cluster listens elsewhere.
    const said = ROWS.flatMap(({ port, name, host, wide }, at) => (port === undefined ? [[name, host, wide, found.api.rows[at]?.wide]] : [])); // prettier-ignore
    expect(said.filter(([, , wide, got]) => wide !== got)).toEqual([]);
  });

  for (const engine of ENGINES)
    for (const way of WAYS)
      test.each(ROWS.map((row, at) => ({ ...row, at })).filter(({ dial }) => dial !== null))(
        `$name, $host: ${way} over ${engine} comes to $dial`,
        (row) => {
          expect(kindOf(found.dials[engine].rows[way][row.at])).toEqual(wanted(row, way === "tcp"));
        },
      );

  test.each(ENGINES)("probes of %s reach the good ones where they are, and nobody else", (engine) => {
    expect(found.dials[engine].probed).toEqual(ROWS.map(({ dial }) => reachedAt(dial)));
  });

  for (const engine of ENGINES)
    test.each([...WAYS])(
      `over ${engine} a name is looked up once for %s, and its address then is the one that counts`,
      (way) => {
        const { bad, good } = found.dials[engine].turned[way];
        expect([kindOf(bad), bad.lookups]).toEqual([wanted({ dial: { at: "127.0.0.1" } }, way === "tcp"), 1]);
        expect([kindOf(good), good.lookups]).toEqual([wanted({ dial: "refused" }, way === "tcp"), 1]);
      },
    );

  test("a name that is good when the API is told is taken, and what it leads to later is the worker's to judge", () => {
    expect(found.api.turning).toBe(200);
  });
});

// --- internal ---

async function play(): Promise<Findings> {
  const directory = mkdtempSync(join(tmpdir(), "app-proxy-targets-"));
  const resolvers = join(directory, "resolv.conf");
  writeFileSync(resolvers, "nameserver 127.0.0.53\noptions timeout:5 attempts:3\n");
  try {
    const program = join(import.meta.dir, "targets/inside.ts");
    const child = Bun.spawn(inOwnInternet([process.execPath, program], resolvers), {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: LIMIT_MS,
    });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    const code = await child.exited;
    if (code !== 0) throw new Error(`inside.ts ended with ${code} (limit ${LIMIT_MS} ms): ${err.slice(-2000)}`);
    return JSON.parse(out) as Findings;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The addresses at which the app was connected to. */
function reachedAt(dial: TargetRow["dial"]): string[] {
  return dial !== null && typeof dial === "object" ? [dial.at] : [];
}

/** Status, whether the page says that it is refused, and where the app was connected to. */
function kindOf(dialled: Dialled | null | undefined): [status: number | undefined, isRefusal: boolean, at: string[]] {
  return [dialled?.status, dialled?.why === REFUSED, [...new Set(dialled?.at)]];
}

function wanted({ dial }: Pick<TargetRow, "dial">, isTcp: boolean): ReturnType<typeof kindOf> {
  const at = reachedAt(dial);
  if (at.length > 0) return [200, false, at];
  // Where nobody is, the app of a new circuit may still come.
  return [isTcp ? 0 : dial === "refused" ? 502 : 503, !isTcp && dial === "refused", []];
}
