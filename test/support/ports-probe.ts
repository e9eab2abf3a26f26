/** A process of the ports' test: takes ranges as test files do, says which, and stays until it is killed. */
import { freeRange } from "./ports.ts";

const ranges: [low: number, count: number][] = [];
for (const count of process.argv.slice(2).map(Number)) ranges.push([await freeRange(count), count]);
process.stdout.write(`${JSON.stringify(ranges)}\n`);
setInterval(() => undefined, 60_000);
