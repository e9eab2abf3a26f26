/** `bun run attack`: the suites that attack the product, one after another; ends with 1 when one of them got through. */
import { basename, join } from "node:path";
import { Glob } from "bun";
import { ROOT } from "../support/spawned.ts";
import { environment, readOptions, USAGE, type Options } from "./options.ts";

const SUFFIX = ".test.ts";
const say = (line: string) => void process.stdout.write(`${line}\n`);
const options = readOptions(process.argv.slice(2));
if (options.help) say(USAGE);
else process.exitCode = await attack(options);

// --- internal ---

async function attack({ suites, full, seed }: Options): Promise<number> {
  const files = [...new Glob(`test/attack/*${SUFFIX}`).scanSync(ROOT)].toSorted();
  const names = files.map((file) => basename(file, SUFFIX));
  const unknown = suites.filter((suite) => !names.includes(suite));
  if (unknown.length > 0) throw new Error(`no suite ${unknown.join(", ")}; there are ${names.join(", ")}`);
  say(`attack: ${full ? "the long form" : "the short form"}, --seed ${seed}`);
  const failed: string[] = [];
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
  say(failed.length === 0 ? "all held" : `got through: ${failed.join(", ")} (--seed ${seed})`);
  return failed.length === 0 ? 0 : 1;
}
