/**
 * Parts of a service that fail on order: a bus that mistreats what it delivers or dies around a publication, and a clock
 * that steps. They wrap what the service is handed in, so that no line of the product knows of faults.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { AppProxyEvent } from "../../shared/protocol/events.ts";
import { followOrders, type Order, type Storm } from "./orders.ts";
import { createRandom, type Random } from "./random.ts";

interface Parts {
  bus: Bus;
  now: () => number;
}

/** The parts of a service, from now on at the mercy of the harness. */
export function faulty<P extends Parts>(real: P): P {
  const mistreat = createMistreatment();
  let offset = 0;
  let death: Extract<Order, { do: "die" }>["at"] | null = null;
  followOrders((order) => {
    switch (order.do) {
      case "storm":
        return mistreat.begin(order.storm);
      case "calm":
        return mistreat.end();
      case "die":
        return void (death = order.at);
      case "live":
        return void (death = null);
      case "clock":
        return void (offset = order.offsetMs);
    }
  });
  const bus: Bus = {
    ...real.bus,
    async publish(...events) {
      if (death === "before publication") dieNow();
      await real.bus.publish(...events);
      if (death === "after publication") dieNow();
    },
    subscribe: (handlers) =>
      real.bus.subscribe({ ...handlers, event: (event) => mistreat.hand(event, (one) => handlers.event(one)) }),
  };
  return { ...real, bus, now: () => real.now() + offset };
}

// --- internal ---

/** Nothing of this process runs any more when this returns: it does not. */
function dieNow(): void {
  process.kill(process.pid, "SIGKILL");
  Bun.sleepSync(60_000);
}

interface Mistreatment {
  begin(storm: Storm): void;
  end(): void;
  hand(event: AppProxyEvent, on: (event: AppProxyEvent) => void): void;
}

function createMistreatment(): Mistreatment {
  let storm: Storm | null = null;
  let random: Random = createRandom(0);
  /** Waits for the next event to overtake it. */
  let overtaken: (() => void) | null = null;
  const delayed = new Map<ReturnType<typeof setTimeout>, () => void>();

  function later(work: () => void, ms: number): void {
    const timer = setTimeout(() => {
      delayed.delete(timer);
      work();
    }, ms);
    delayed.set(timer, work);
  }

  function release(): void {
    const held = overtaken;
    overtaken = null;
    held?.();
  }

  return {
    begin(wanted) {
      storm = wanted;
      random = createRandom(wanted.seed);
    },
    end() {
      storm = null;
      release();
      for (const [timer, work] of delayed) {
        clearTimeout(timer);
        work();
      }
      delayed.clear();
    },
    hand(event, on) {
      if (storm === null) return on(event);
      if (random.chance(storm.drop)) return;
      if (random.chance(storm.duplicate)) later(() => on(event), random.between(0, storm.delayMs));
      if (random.chance(storm.delay)) return later(() => on(event), random.between(1, storm.delayMs));
      if (overtaken === null && random.chance(storm.reorder)) return void (overtaken = () => on(event));
      on(event);
      release();
    },
  };
}
