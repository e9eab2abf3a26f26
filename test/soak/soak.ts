/**
 * A soak: two real workers (one whose circuits speak HTTP, one for TCP) under mixed traffic while their circuits come and go,
 * with a look at their memory and files each second. Called by main.ts; what is made of it is in judge.ts.
 */
import { createRandom, type Random } from "../faults/random.ts";
import { stopUpstreams } from "../contract/upstreams.ts";
import { closeWires } from "../contract/wire.ts";
import type { Shape } from "../contract/shapes.ts";
import { until } from "../support/until.ts";
import { startHttpApp, startTcpApp, type SoakApp } from "./apps.ts";
import { startGround, type Ground } from "./ground.ts";
import { HTTP, PIPELINED } from "./http.ts";
import { memoryFaults, mib, settled, trendOf, type Sample } from "./judge.ts";
import { LEAVING } from "./leaving.ts";
import { TCP } from "./tcp.ts";
import { Wrong, type Kind } from "./traffic.ts";
import { WEBSOCKETS } from "./websockets.ts";

export interface SoakOptions {
  minutes: number;
  engine: Shape["engine"];
  seed: number;
  say: (line: string) => void;
}

export interface Soaked {
  /** What was wrong; nothing when all was well. */
  faults: string[];
  /** How often each kind of traffic has run. */
  runs: Map<string, number>;
}

/** One worker with what runs over it. */
interface Side {
  name: string;
  ground: Ground;
  lanes: number;
  kinds: readonly Kind[];
  apps: readonly SoakApp[];
  samples: Sample[];
  /** Open files before the first circuit. */
  files: number;
  /** The least memory when all had gone. Bytes. */
  rest: number;
}

const SAMPLE_MS = 1000;
const MINUTE_MS = 60_000;
/** Between two changes of circuits. Milliseconds. */
const RENEW_MS = 700;
/** A lane rests up to so long, so that a small machine keeps up. Milliseconds. */
const REST_MS = 60;
/** Connections to apps that are kept for later go after a minute; a busy machine takes longer. Milliseconds. */
const END_MS = 150_000;
/** A worker that has nothing to do collects what is left within some seconds. Milliseconds. */
const REST_AFTER_MS = 20_000;
/** The first ones are enough to find the cause. */
const MAX_FAULTS = 50;
/** Lines that are told of apps that break off, and of clients that may not pass. */
const EXPECTED = new Set(["request refused", "connection refused"]);

export async function soak({ minutes, engine, seed, say }: SoakOptions): Promise<Soaked> {
  const random = createRandom(seed);
  const runs = new Map<string, number>();
  const faults: string[] = [];
  const note = (fault: string) => void (faults.length < MAX_FAULTS && faults.push(fault));
  const sides = await startSides(engine);
  try {
    const began = performance.now();
    const isOver = () => performance.now() - began > minutes * MINUTE_MS;
    await Promise.all([
      ...sides.flatMap((side) => lanesOf(side, { random, isOver, runs, note })),
      ...sides.map((side) => renewing(side, random.fork(`circuits of ${side.name}`), isOver, note)),
      looking(sides, { began, isOver, runs, note, say }),
    ]);
    await Promise.all(sides.map((side) => end(side, note)));
    for (const side of sides) faults.push(...judge(side, minutes, say), ...unseen(side, runs));
    return { faults, runs };
  } finally {
    closeWires();
    await Promise.all(sides.map(({ ground }) => ground.stage.stop()));
    stopUpstreams();
  }
}

// --- internal ---

async function startSides(engine: Shape["engine"]): Promise<Side[]> {
  const shape: Shape = { engine, frontend: "port", place: "spawned" };
  const side = async (name: string, protocol: "http" | "tcp", lanes: number, kinds: readonly Kind[]): Promise<Side> => {
    const start = protocol === "tcp" ? startTcpApp : startHttpApp;
    const apps = ["a", "b", "c", "d"].map((one) => start(`${protocol}-${one}`));
    const ground = await startGround({ shape, protocol, apps, circuits: 2 * lanes });
    return { name, ground, lanes, kinds, apps, samples: [], files: ground.files, rest: Infinity };
  };
  const http = [...HTTP, ...LEAVING, ...WEBSOCKETS, ...(engine === "sockets" ? [PIPELINED] : [])];
  return [await side(engine, "http", 16, http), await side("tcp", "tcp", 4, TCP)];
}

interface Run {
  random: Random;
  isOver: () => boolean;
  runs: Map<string, number>;
  note: (fault: string) => void;
}

/** Loops of traffic, each with choices of its own. */
function lanesOf({ name, ground, lanes, kinds }: Side, { random, isOver, runs, note }: Run): Promise<void>[] {
  return Array.from({ length: lanes }, async (_, lane) => {
    const own = random.fork(`${name} ${lane}`);
    while (!isOver()) {
      const kind = own.weighted(kinds);
      const way = ground.pick(own);
      try {
        await kind.run(way, own);
        runs.set(kind.name, (runs.get(kind.name) ?? 0) + 1);
      } catch (error) {
        if (error instanceof Wrong || !way.isGoing) note(`${kind.name}: ${told(error)}`);
      }
      await Bun.sleep(own.between(0, REST_MS));
    }
  });
}

async function renewing(
  { name, ground }: Side,
  random: Random,
  isOver: () => boolean,
  note: Run["note"],
): Promise<void> {
  while (!isOver()) {
    await ground.renew(random).catch((error: unknown) => note(`a circuit of ${name}: ${told(error)}`));
    await Bun.sleep(RENEW_MS);
  }
}

interface Looking extends Omit<Run, "random"> {
  began: number;
  say: (line: string) => void;
}

/** A sample a second, a line a minute; what the workers have written is read, and forgotten. */
async function looking(sides: readonly Side[], { began, isOver, runs, note, say }: Looking): Promise<void> {
  for (let minute = 1; !isOver();) {
    await Bun.sleep(SAMPLE_MS);
    const at = performance.now() - began;
    for (const side of sides) {
      side.samples.push({ at, rss: side.ground.stage.rss(), files: side.ground.stage.fds() });
      readLog(side, note);
      // The apps remember each request.
      for (const app of side.apps) app.wires.length = app.asked.length = 0;
    }
    if (at < minute * MINUTE_MS) continue;
    say(
      `${String(minute++).padStart(4)} min  ${[...runs.values()].reduce((sum, one) => sum + one, 0)} runs  ${sides.map(seen).join("  ")}`,
    );
  }
}

function seen({ name, ground, samples }: Side): string {
  const { rss = 0, files = 0 } = samples.at(-1) ?? {};
  return `${name}: ${mib(rss)} MiB, ${files} files, ${ground.gone()} circuits gone`;
}

function readLog({ name, ground }: Side, note: Run["note"]): void {
  for (const line of ground.stage.lines.splice(0)) {
    const { level, msg } = line;
    const isFault = level === "error" || level === "fatal" || (level === "warn" && !EXPECTED.has(String(msg)));
    if (isFault) note(`${name} has logged: ${JSON.stringify(line)}`);
  }
}

/**
 * All traffic has ended, and all circuits go: then nothing may be left, though no app has ended a connection. `fetch` alone keeps
 * idle connections whose circuits are gone (the deviations of the Bun engine), for minutes: there the apps end them.
 */
async function end(side: Side, note: Run["note"]): Promise<void> {
  const { name, ground, files } = side;
  await ground.closeAll();
  if (name === "serve") for (const app of side.apps) app.stop();
  await until(() => ground.stage.fds() <= files, END_MS, "files").catch(() =>
    note(`${name} has ${ground.stage.fds()} open files; it had ${files} before`),
  );
  for (const last = performance.now() + REST_AFTER_MS; performance.now() < last; await Bun.sleep(100))
    side.rest = Math.min(side.rest, ground.stage.rss());
  readLog(side, note);
}

function judge({ name, samples, rest }: Side, minutes: number, say: (line: string) => void): string[] {
  const { slope, error } = trendOf(settled(samples, minutes));
  const [first, last] = [settled(samples, minutes)[0], samples.at(-1)];
  const grown = `${mib(first?.rss ?? 0)} → ${mib(last?.rss ?? 0)} MiB, ${mib(rest)} MiB when all had gone`;
  say(`${name}: ${grown}; slope ${mib(slope)} ± ${mib(error)} MiB an hour`);
  return memoryFaults(samples, minutes).map((fault) => `${name}: ${fault}`);
}

/** What never ended well was not tried, whatever else is said. */
function unseen({ kinds }: Side, runs: ReadonlyMap<string, number>): string[] {
  return kinds.filter(({ name }) => !runs.has(name)).map(({ name }) => `${name}: never ended well`);
}

function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
