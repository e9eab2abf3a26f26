/**
 * The listeners of circuits: one per port that carries a circuit, or one for the wildcard domain.
 * Changes to one port follow each other; a port that can't be opened is tried again at every `retry`.
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
  /** Closes a circuit's listener and all its connections. */
  close(circuit: Circuit): Promise<void>;
  /** Tries again what could not be opened; gives the circuits that can be reached now. */
  retry(): Promise<Circuit[]>;
  /** Stops listening and lets requests end for `ms`, then closes what is left. */
  drain(ms: number): Promise<void>;
}

export function createFrontends(settings: FrontendSettings): Frontends {
  const { engine, core, log, hostname, tls, bindPort } = settings;
  const listeners = new Map<number, { listener: Listener; circuitId: string }>();
  const failed = new Map<string, Circuit>();
  const inTurn = new Map<number, Promise<unknown>>();

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
    const bound = bindPort(port);
    try {
      if (bound === null) throw new Error("the port is not of this worker's bind_port_range");
      const listener = engine.listen({ hostname, port: bound, tls, frontend: { mode: "port", port } }, core);
      listeners.set(port, { listener, circuitId: circuit.id });
      failed.delete(circuit.id);
      return true;
    } catch (error) {
      failed.set(circuit.id, circuit);
      log.error(
        { circuit: circuit.id, port: bound, reason: reason(error) },
        `Cannot open port ${bound ?? port} for a circuit; trying again with each heartbeat`,
      );
      return false;
    }
  }

  async function closePort(port: number): Promise<void> {
    const held = listeners.get(port);
    listeners.delete(port);
    await held?.listener.close("now");
  }

  return {
    open(circuit) {
      const { port } = circuit;
      // The wildcard listener is there already; every subdomain comes in through it.
      return port === null ? Promise.resolve(true) : turn(port, () => openPort(circuit, port));
    },
    async close(circuit) {
      failed.delete(circuit.id);
      const { port } = circuit;
      if (port === null) return;
      await turn(port, async () => {
        if (listeners.get(port)?.circuitId === circuit.id) await closePort(port);
      });
    },
    async retry() {
      const again = [...failed.values()];
      const opened = await Promise.all(
        again.map((circuit) => turn(circuit.port ?? 0, () => openPort(circuit, circuit.port ?? 0))),
      );
      return again.filter((_, at) => opened[at]);
    },
    async drain(ms) {
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
