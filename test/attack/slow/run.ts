/**
 * All attacks on a worker with one engine: `bun run.ts OPTIONS` in a network of its own, where OPTIONS is JSON, because thousands of
 * connections that stall would use up what all connections of a machine share (test/support/own-network.ts). Prints what was wrong,
 * by attack, as JSON. Started by `runAttacks`.
 */
import { startStage, type Opened, type Stage } from "../../contract/stage.ts";
import type { Shape } from "../../contract/shapes.ts";
import { stopUpstreams } from "../../contract/upstreams.ts";
import { closeWires } from "../../contract/wire.ts";
import { foundInOwnNetwork } from "../../support/own-network.ts";
import { owed } from "../../support/owed.ts";
import type { Steady } from "../../support/steady.ts";
import { until } from "../../support/until.ts";
import { httpApp, neighbourApp, tcpApp, type AttackedApp } from "./apps.ts";
import { ATTACKS, type Attack, type Target } from "./attacks.ts";
import { httpNeighbours, tcpNeighbours } from "./neighbours.ts";
import { SIZES, type Size } from "./size.ts";
import { whyNoSlowhttptest } from "./slowhttptest.ts";

export interface RunOptions {
  engine: Shape["engine"];
  size: keyof typeof SIZES;
}

/** What was wrong, by the attack's name; of what its neighbours noticed, by `NEIGHBOURS` and `AFTERWARDS`. */
export type Report = Record<string, string[]>;
export const NEIGHBOURS = "neighbours";
export const AFTERWARDS = "afterwards";

/** Of a worker that was attacked: what its memory may have grown by, besides what each connection takes at most. Bytes. */
const GROWN = 96 * 2 ** 20;
const EACH = 2 ** 20;
/** What is left of it when all have gone; a collector runs when it likes. Bytes. */
const LEFT = 96 * 2 ** 20;
/** A worker opens a file now and then. */
const FILES = 8;
/** Fewer answers would tell nothing of the neighbours. */
const LEAST = 20;

/** Runs them; `ms` is the limit. */
export async function runAttacks(options: RunOptions, ms: number): Promise<Report> {
  return (await foundInOwnNetwork(import.meta.path, options, ms, options.engine)) as Report;
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? "{}") as RunOptions)));
  process.exit(0); // whatever is still open
}

// --- internal ---

async function run({ engine, size }: RunOptions): Promise<Report> {
  const report: Report = {};
  for (const over of ["http", "tcp"] as const) {
    const attacks = ATTACKS.filter((one) => one.over === over && (one.needs === undefined || whyNoSlowhttptest() === null)); // prettier-ignore
    const site = await startSite(engine, over, SIZES[size]);
    // In the short form they share the time.
    for (const wave of size === "short" ? [attacks] : attacks.map((one) => [one])) await withstand(site, wave, report);
    await site.stop();
  }
  return report;
}

interface Site {
  stage: Stage;
  attacked: Opened;
  app: AttackedApp;
  size: Size;
  neighbours: () => Steady;
  stop(): Promise<void>;
}

async function startSite(engine: Shape["engine"], over: Attack["over"], size: Size): Promise<Site> {
  const limits = { ...size.limits, circuit_connections: 0 };
  const worker = { limits, ...(over === "tcp" ? { protocol: "tcp", tcp_auth: "none" } : {}) };
  const stage = await startStage({ engine, frontend: "port", place: "spawned" }, { worker });
  const [app, other] = over === "http" ? [httpApp(), neighbourApp()] : [tcpApp(), tcpApp()];
  const protocol = over;
  const attacked = await stage.open({ upstream: app.port, protocol, public: true });
  const theirs = await stage.open({ upstream: other.port, protocol, public: true });
  return {
    stage,
    attacked,
    app,
    size,
    neighbours: () => (over === "http" ? httpNeighbours(theirs) : tcpNeighbours(theirs)),
    async stop() {
      closeWires();
      await stage.stop();
      stopUpstreams();
    },
  };
}

/** Some attacks at once, and neighbours meanwhile. Afterwards all is as it was. */
async function withstand(site: Site, attacks: readonly Attack[], report: Report): Promise<void> {
  const { stage, attacked, app, size } = site;
  await usedToIt(site);
  const before = { files: stage.fds(), memory: stage.rss() };
  const target: Target = { stage, to: attacked, app, size, clients: [] };
  const neighbours = site.neighbours();
  let most = before.memory;
  const looks = setInterval(() => (most = Math.max(most, stage.rss())), 100);
  await Promise.all(attacks.map(async ({ name, run }) => void (report[name] = await run(target))));
  const count = target.clients.length + size.connections * attacks.filter(({ needs }) => needs !== undefined).length;
  await neighbours.stop();
  clearInterval(looks);
  const who = attacks.length === 1 ? `${attacks[0]?.name}: ` : "";
  const told = (name: string, faults: readonly string[]) => (report[name] ??= []).push(...faults.map((one) => `${who}${one}`)); // prettier-ignore
  told(NEIGHBOURS, [...new Set(neighbours.failures)].slice(0, 5));
  if (neighbours.done() < LEAST) told(NEIGHBOURS, [`they had ${neighbours.done()} answers, wanted ${LEAST}`]);
  if (most - before.memory > GROWN + count * EACH) told(AFTERWARDS, [`${mib(most - before.memory)} MiB for ${count} connections`]); // prettier-ignore
  for (const client of target.clients) client.leave();
  told(AFTERWARDS, await leftovers(site, before));
}

/** What the first requests cost is no growth. */
async function usedToIt({ neighbours, stage }: Site): Promise<void> {
  const some = neighbours();
  await until(() => some.done() >= 50, owed(30_000), "some answers");
  await some.stop();
  await until(async () => (await connectionsOf(stage)) === 0, owed(20_000), "their connections to end");
}

async function leftovers(
  { stage, app, neighbours }: Site,
  before: { files: number; memory: number },
): Promise<string[]> {
  const tried = async (holds: () => boolean | Promise<boolean>, what: () => string) => until(holds, owed(10_000)).then(() => [], () => [what()]); // prettier-ignore
  app.endIdle();
  const files = await tried(() => stage.fds() <= before.files + FILES, () => `${stage.fds() - before.files} files are left`); // prettier-ignore
  let connections = 0;
  const counted = await tried(
    async () => (connections = await connectionsOf(stage)) === 0,
    () => `${connections} connections are counted`,
  );
  // One that serves nothing collects nothing.
  const some = neighbours();
  const memory = await tried(() => stage.rss() <= before.memory + LEFT, () => `${mib(stage.rss() - before.memory)} MiB are left`); // prettier-ignore
  await some.stop();
  const errors = stage.lines.filter(({ level }) => level === "error" || level === "fatal");
  return [
    ...files,
    ...counted,
    ...memory,
    ...some.failures,
    ...errors.map((line) => `logged: ${JSON.stringify(line)}`),
  ];
}

async function connectionsOf(stage: Stage): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${stage.apiPort()}/metrics`)).text();
  return Number(/^appproxy_worker_connections (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
