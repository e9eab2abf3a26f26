/**
 * `bun test/bench/profile.ts [seconds] [connections] [circuits]`: where the worker's time goes under wrk with 1 KiB
 * answers: one circuit on a port, or so many by subdomain, asked for in turn.
 * Prints the functions with the most self time; the whole profile stays in test/artefacts/ for Chrome's DevTools.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { withUpstream } from "./stage.ts";
import { startWorkerPeer } from "./worker-peer.ts";
import { wrk } from "./wrk.ts";

/** What is used of a V8 CPU profile. */
interface Profile {
  nodes: { id: number; callFrame: Frame; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}

interface Frame {
  functionName: string;
  /** Empty for what is built in. */
  url: string;
  lineNumber: number;
}

const ARTEFACTS = join(import.meta.dir, "../artefacts/profile");
const SHOWN = 40;
const [seconds = 8, connections = 64, circuits] = process.argv.slice(2).map(Number);

rmSync(ARTEFACTS, { recursive: true, force: true });
mkdirSync(ARTEFACTS, { recursive: true });
const figures = await withUpstream("full", async ({ http }, keep) => {
  const flags = ["--cpu-prof", `--cpu-prof-dir=${ARTEFACTS}`];
  const many = circuits === undefined ? {} : { wildcard: circuits };
  const worker = await keep(startWorkerPeer({ upstream: http, flags, ...many }));
  return wrk(worker, { path: "/1k", connections, seconds, keys: worker.keys });
});
// It is written when the worker ends.
const [file] = readdirSync(ARTEFACTS).filter((name) => name.endsWith(".cpuprofile"));
if (file === undefined) throw new Error(`no profile was written to ${ARTEFACTS}`);
const profile = JSON.parse(readFileSync(join(ARTEFACTS, file), "utf8")) as Profile;
const rate = Math.round(figures.perSecond);
console.log(`${rate} requests per second while profiled, ${connections} connections`);
console.log(`${percent(figures.system)} of the processor time is the kernel's; JavaScript and what it calls:`);
console.log(selfTimes(profile));
console.log(join(ARTEFACTS, file));
process.exit(0);

// --- internal ---

function selfTimes({ nodes, samples, timeDeltas }: Profile): string {
  const names = namesOf(nodes);
  const times = new Map<string, number>();
  for (const [turn, id] of samples.entries()) {
    const name = names.get(id) ?? "?";
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[turn] ?? 0));
  }
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  return [...times]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(([name, time]) => `${((time * 100) / total).toFixed(1).padStart(5)} %  ${name}`)
    .join("\n");
}

/** Names by node. What is built in tells little without the line of ours that called it. */
function namesOf(nodes: Profile["nodes"]): Map<number, string> {
  const names = new Map<number, string>();
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  for (const { id, callFrame } of nodes) {
    let caller = byId.get(parents.get(id) ?? -1);
    while (caller !== undefined && caller.callFrame.url === "") caller = byId.get(parents.get(caller.id) ?? -1);
    const own = `${callFrame.functionName || "(anonymous)"} ${place(callFrame)}`.trim();
    const from =
      caller === undefined ? "the event loop" : `${caller.callFrame.functionName} ${place(caller.callFrame)}`;
    names.set(id, callFrame.url === "" ? `${own} ← ${from}` : own);
  }
  return names;
}

function percent(part: number | null): string {
  return `${((part ?? Number.NaN) * 100).toFixed(0)} %`;
}

function place({ url, lineNumber }: Frame): string {
  return url === "" ? "" : `${url.replace(/^.*\/(?=worker\/|shared\/|node_modules\/)/, "")}:${lineNumber + 1}`;
}
