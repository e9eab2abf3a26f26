/**
 * The listeners of circuits, one per port that carries a circuit. Changes to one port follow each other; a port that
 * can't be opened is tried again at every `retry`.
 */
import { reason } from "../shared/failure.ts";
import type { Log } from "../shared/log.ts";
import type { Circuit } from "../shared/schema/circuit.ts";
import type { Core, Engine, Listener } from "./engine/engine.ts";

export interface FrontendSettings {
  engine: Engine;
  core: Core;
  log: Log;
  hostname: string;
  tls: { cert: string; key: string } | null;
  /** The port to bind for one seen from outside; null when it is not of this worker's range. */
  bindPort: (advertised: number) => number | null;
}

export interface Frontends {
  /** Resolves true when the circuit can be reached. */
  open(circuit: Circuit): Promise<boolean>;
  /** True while the circuit can be reached. */
  serves(circuit: Circuit): boolean;
  /** Closes a circuit's listener and all its connections. */
  close(circuit: Circuit): Promise<void>;
  /** Tries again what could not be opened; gives the circuits that can be reached now. */
  retry(): Promise<Circuit[]>;
  /** Stops listening and lets requests end for `ms`, then closes what is left. Nothing opens after it. */
  drain(ms: number): Promise<void>;
}

export function createFrontends({ engine, core, log, hostname, tls, bindPort }: FrontendSettings): Frontends {
  const listeners = new Map<number, { listener: Listener; circuitId: string }>();
  /** Circuits whose port could not be opened. */
  const failed = new Map<string, Circuit>();
  const inTurn = new Map<number, Promise<unknown>>();
  let draining = false;

  /** Runs `work` after what was asked before for the same port. */
  function turn<T>(port: number, work: () => Promise<T>): Promise<T> {
    const done = (inTurn.get(port) ?? Promise.resolve()).then(work);
    const settled: Promise<unknown> = done
      .catch(() => undefined)
      .then(() => inTurn.get(port) === settled && inTurn.delete(port));
    inTurn.set(port, settled);
    return done;
  }

  async function openPort(circuit: Circuit, port: number): Promise<boolean> {
    const held = listeners.get(port);
    if (held?.circuitId === circuit.id) return true;
    if (held !== undefined) await closePort(port);
    if (draining) return false;
    const bound = bindPort(port);
    try {
      if (bound === null) throw new Error("the port is not of this worker's bind_port_range");
      const listener = engine.listen({ hostname, port: bound, tls, frontend: { mode: "port", port } }, core);
      listeners.set(port, { listener, circuitId: circuit.id });
      failed.delete(circuit.id);
      return true;
    } catch (error) {
      if (!failed.has(circuit.id)) {
        const about = { circuit: circuit.id, port: bound ?? port, reason: reason(error) };
        log.error(about, `Cannot open port ${bound ?? port} for a circuit; trying again with each heartbeat`);
      }
      failed.set(circuit.id, circuit);
      return false;
    }
  }

  async function closePort(port: number): Promise<void> {
    const held = listeners.get(port);
    listeners.delete(port);
    await held?.listener.close("now");
  }

  /** Opens what is still wanted when its turn comes: it may have been closed since. */
  function again(circuit: Circuit): Promise<boolean> {
    const port = circuit.port ?? 0;
    return turn(port, async () => failed.get(circuit.id) === circuit && openPort(circuit, port));
  }

  return {
    open(circuit) {
      const { port } = circuit;
      // Without a port it is a wildcard worker's: it can't be reached here.
      return port === null ? Promise.resolve(false) : turn(port, () => openPort(circuit, port));
    },
    serves: ({ id, port }) => port !== null && listeners.get(port)?.circuitId === id,
    async close({ id, port }) {
      if (port === null) return;
      await turn(port, async () => {
        failed.delete(id);
        if (listeners.get(port)?.circuitId === id) await closePort(port);
      });
    },
    async retry() {
      const wanted = [...failed.values()];
      const opened = await Promise.all(wanted.map(again));
      return wanted.filter((_, at) => opened[at]);
    },
    async drain(ms) {
      draining = true;
      const all = [...listeners.values()].map(({ listener }) => listener);
      listeners.clear();
      const finished = Promise.all(all.map((listener) => listener.close("finish")));
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, ms);
      await Promise.race([finished, late.promise]);
      clearTimeout(timer);
      await Promise.all(all.map((listener) => listener.close("now")));
    },
  };
}
