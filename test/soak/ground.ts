/**
 * What traffic runs on: a worker whose circuits come and go, each port used again by the next one. A circuit that goes takes
 * with it what runs over it, so what fails then is no fault; a foreign byte always is.
 */
import { startStage, type Opened, type Stage } from "../contract/stage.ts";
import type { Shape, StageOptions } from "../contract/shapes.ts";
import type { Random } from "../faults/random.ts";
import type { SoakApp } from "./apps.ts";

/** A circuit that is open, or was. */
export interface Way {
  to: Opened;
  app: SoakApp;
  /** It is being closed, or is closed. */
  isGoing: boolean;
  opened: number;
}

export interface Ground {
  stage: Stage;
  /** Open files of the worker before its first circuit. */
  files: number;
  /** An open circuit. */
  pick(random: Random): Way;
  /** Closes one that has lived for a while, and opens another on its port. */
  renew(random: Random): Promise<void>;
  /** How many have gone. */
  gone(): number;
  closeAll(): Promise<void>;
}

export interface GroundOptions {
  shape: Shape;
  protocol: "http" | "tcp";
  apps: readonly SoakApp[];
  circuits: number;
}

/** A circuit lives for so long at least: the longest of what runs over one ends in most of them. Milliseconds. */
const LEAST_MS = 4000;

export async function startGround({ shape, protocol, apps, circuits }: GroundOptions): Promise<Ground> {
  const own = protocol === "tcp" ? { protocol, tcp_auth: "none" } : {};
  const options: StageOptions = { worker: own, ports: circuits };
  const stage = await startStage(shape, options);
  const files = stage.fds();
  const ways = new Map<number, Way>();
  let gone = 0;

  async function open(port: number, app: SoakApp): Promise<void> {
    const to = await stage.open({ upstream: app.port, protocol, circuit: { port } });
    ways.set(port, { to, app, isGoing: false, opened: performance.now() });
  }

  async function close(way: Way): Promise<void> {
    way.isGoing = true;
    await stage.close(way.to);
    gone++;
  }

  for (let at = 0; at < circuits; at++) await open(stage.ports.low + at, apps[at % apps.length] as SoakApp);
  return {
    stage,
    files,
    pick: (random) => random.pick([...ways.values()].filter(({ isGoing }) => !isGoing)),
    async renew(random) {
      const old = [...ways.values()].filter((way) => !way.isGoing && performance.now() - way.opened > LEAST_MS);
      // Traffic always finds one.
      if (old.length < 2) return;
      const way = random.pick(old);
      await close(way);
      await open(way.to.port, random.pick(apps));
    },
    gone: () => gone,
    async closeAll() {
      // One whose renewal has failed is told already.
      for (const way of ways.values()) if (!way.isGoing) await close(way);
      ways.clear();
    },
  };
}
