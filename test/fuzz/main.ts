/**
 * `bun run fuzz`: client streams and app answers, valid and mutated, through the engine on raw sockets; what comes out is held
 * against a strict model of RFC 9112, and what is accepted against llhttp and HAProxy. Prints the seed, how far it is, and of
 * each fault the smallest case that it finds.
 */
import { answerKind, fuzz, report, streamKind, type Kind } from "./fuzz.ts";
import { readOptions, USAGE, type Options } from "./options.ts";
import { startPeers } from "./peers/peers.ts";

const say = (line: string) => void process.stdout.write(`${line}\n`);
const options = readOptions(process.argv.slice(2));
process.exitCode = options.help ? help() : await main(options);

// --- internal ---

function help(): number {
  say(USAGE);
  return 0;
}

async function main({ seed, from, streams, answers }: Options): Promise<number> {
  say(`fuzz: ${streams} streams, ${answers} rows of answers, --seed ${seed}`);
  const peers = await startPeers();
  if (peers.both === null) say("no comparison with others: node and haproxy are wanted");
  // What was started ends with this.
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void peers.close().finally(() => process.exit(1)));
  const plan = { seed, from };
  const faults = (await play(streamKind(peers.both), { ...plan, count: streams })) + (await play(answerKind, { ...plan, count: answers })); // prettier-ignore
  await peers.close();
  say(faults === 0 ? "no faults" : `${faults} faults, --seed ${seed}`);
  return faults === 0 ? 0 : 1;
}

/** Gives how many faults there were. */
async function play<T>(kind: Kind<T>, plan: { seed: number; from: number; count: number }): Promise<number> {
  if (plan.count === 0) return 0;
  const progress = (done: number, seconds: number) =>
    say(`  ${kind.name}: ${done} of ${plan.count}, ${Math.round(done / seconds)} a second`);
  const { done, seconds, found, growth } = await fuzz(kind, { ...plan, progress });
  say(`${kind.name}: ${done} in ${seconds.toFixed(1)} s, ${Math.round(done / seconds)} a second`);
  for (const one of found) say(`FAIL ${report(kind, plan.seed, one)}`);
  for (const fault of growth) say(`FAIL ${fault}`);
  return found.length + growth.length;
}
