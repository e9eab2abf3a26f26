/** `bun run soak`: mixed traffic for as long as it is told; ends with 1 and what was wrong, or with 0. */
import { readOptions, USAGE } from "./options.ts";
import { soak } from "./soak.ts";

const options = readOptions(process.argv.slice(2));
const say = (line: string) => void process.stdout.write(`${line}\n`);
if (options.help) say(USAGE);
else {
  const { minutes, engine, seed } = options;
  say(`soak: ${minutes} minutes, engine ${engine}, --seed ${seed}`);
  const { faults, runs } = await soak({ minutes, engine, seed, say });
  say([...runs].map(([name, count]) => `${count} × ${name}`).join(", "));
  for (const fault of faults) say(`FAULT ${fault}`);
  say(faults.length === 0 ? "nothing was wrong" : `${faults.length} faults`);
  process.exit(faults.length === 0 ? 0 : 1);
}
