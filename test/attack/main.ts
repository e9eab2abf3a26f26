/** `bun run attack`: the suites that attack the product, one after another; ends with 1 when one of them got through, with 2 for a mistake. */
import { basename, join } from "node:path";
import { Glob } from "bun";
import { ROOT } from "../support/spawned.ts";
import { environment, readOptions, USAGE, type Options } from "./options.ts";

const SUFFIX = ".test.ts";
const say = (line: string) => void process.stdout.write(`${line}\n`);
const names = [...new Glob(`test/attack/*${SUFFIX}`).scanSync(ROOT)].toSorted().map((file) => basename(file, SUFFIX));
const options = wanted();
if (options?.help === true) say(USAGE);
else process.exitCode = options === null ? 2 : await attack(options);

// --- internal ---

/** Null for a mistake, which is told. */
function wanted(): Options | null {
  try {
    const read = readOptions(process.argv.slice(2));
    const unknown = read.suites.filter((suite) => !names.includes(suite));
    if (unknown.length === 0) return read;
    throw new Error(`SUITE: wanted ${names.join(", ")}, got ${unknown.join(", ")}`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return null;
  }
}

async function attack({ suites, full, seed }: Options): Promise<number> {
  say(`attack: ${full ? "the long form" : "the short form"}, --seed ${seed}`);
  const failed: string[] = [];
  const start = performance.now();
  for (const name of suites.length > 0 ? suites : names) {
    const began = performance.now();
    // The same script as for all tests: it has the flags of the runtime.
    const suite = Bun.spawn([process.execPath, "run", "test", join("test/attack", `${name}${SUFFIX}`)], {
      cwd: ROOT,
      env: { ...process.env, ...environment({ full, seed }) },
      stdio: ["ignore", "inherit", "inherit"],
    });
    if ((await suite.exited) !== 0) failed.push(name);
    say(`${name}: ${failed.includes(name) ? "FAILED" : "held"}, ${Math.round((performance.now() - began) / 1000)} s`);
  }
  const minutes = ((performance.now() - start) / 60_000).toFixed(1);
  say(failed.length === 0 ? `all held, ${minutes} min` : `got through: ${failed.join(", ")} (--seed ${seed})`);
  return failed.length === 0 ? 0 : 1;
}
