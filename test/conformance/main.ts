/**
 * `bun run conformance [sockets|serve] [CASES…]`: all of Autobahn's cases on a WebSocket server behind a worker and on a client
 * before one, with each engine, beside the same without a worker. Prints how many went how, by group of cases, and each that
 * went another way than it may. `CASES` are such as `9.*` or `12.1.3`; without them it takes an hour, most of it compression.
 */
import { install } from "../support/apps/install.ts";
import type { Shape } from "../contract/shapes.ts";
import { Conformance, SIDES, type Comparison, type Side } from "./conformance.ts";
import { wstestIn, type Verdicts, type Wstest } from "./wstest.ts";

/** 8 and 11 are empty; those of compression, 12 and 13, take minutes each. */
const GROUPS = [
  ...[1, 2, 3, 4, 5, 6, 7, 9, 10].map((group) => `${group}.*`),
  ...[1, 2, 3, 4, 5].map((part) => `12.${part}.*`),
  ...[1, 2, 3, 4, 5, 6, 7].map((part) => `13.${part}.*`),
];
const ENGINES = ["sockets", "serve"] as const;

const say = (line: string) => void process.stdout.write(`${line}\n`);
const asked = process.argv.slice(2);
const engines = ENGINES.filter((engine) => asked.includes(engine));
const cases = asked.filter((one) => /^\d+(\.\d+)*(\.\*)?$/.test(one));
const strange = asked.filter((one) => !cases.includes(one) && !ENGINES.some((engine) => engine === one));
if (strange.length > 0) {
  process.stderr.write(`wanted ${ENGINES.join(", ")} or cases such as 9.* or 12.1.3, got ${strange.join(", ")}\n`);
  process.exit(2);
}

say("installing Autobahn's wstest");
const wstest = wstestIn(await install("wstest"));
let faults = 0;
for (const engine of engines.length > 0 ? engines : ENGINES) faults += await tryEngine(wstest, engine);
say(faults === 0 ? "no faults" : `${faults} faults`);
process.exitCode = faults === 0 ? 0 : 1;

// --- internal ---

/** Gives how many cases went wrong. */
async function tryEngine(fuzzer: Wstest, engine: Shape["engine"]): Promise<number> {
  const place = await Conformance.start(fuzzer, engine);
  let found = 0;
  try {
    for (const side of SIDES)
      for (const group of cases.length > 0 ? cases : GROUPS) {
        const began = performance.now();
        const comparison = await place.compare(side, [group]);
        report(engine, side, group, comparison, Math.round((performance.now() - began) / 1000));
        found += comparison.faults.length;
      }
  } finally {
    await place.stop();
  }
  return found;
}

function report(engine: string, side: Side, group: string, { direct, through, faults }: Comparison, seconds: number) {
  const what = side === "client" ? "a server behind it" : "a client before it";
  const counts = `${counted(through)} (directly ${counted(direct)})`;
  say(`${engine.padEnd(8)} ${what}  ${group.padEnd(6)} ${counts}, ${seconds} s`);
  for (const fault of faults) say(`FAIL ${fault}`);
}

/** How many went how: `240 OK, 4 NON-STRICT`. */
function counted(verdicts: Verdicts): string {
  const counts = new Map<string, number>();
  for (const { behavior } of verdicts.values()) counts.set(behavior, (counts.get(behavior) ?? 0) + 1);
  return [...counts].map(([behavior, count]) => `${count} ${behavior}`).join(", ");
}
