/**
 * The listeners of circuits: in port mode one per port that carries a circuit, in wildcard mode one for all.
 * Changes to one port follow each other; a port that can't be opened is tried again at every `retry`.
 */
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import type { TlsPair } from "../../shared/runtime/tls.ts";
import { createBlockedPorts } from "./blocked-ports.ts";
import type { Listener } from "./types.ts";

export interface Frontends {
  /** Resolves true when the circuit can be reached. */
  open(circuit: Circuit): Promise<boolean>;
  /** True while the circuit can be reached. */
  serves(circuit: Circuit): boolean;
  /** Closes what only this circuit uses, with all its connections; also of one whose requests are to end. */
  close(circuit: Circuit): Promise<void>;
  /** Tries again what could not be opened; gives the circuits that can be reached now. */
  retry(): Promise<Circuit[]>;
  /** Ports that are wanted and could not be opened, as they are bound. */
  failed(): number[];
  /** Why the circuit can't be reached; null when it can be, or when that is not known yet. */
  refusal(circuit: Circuit): string | null;
  /** Ports that can't be opened, as they are seen from outside: no circuit is to be given one of them. */
  blocked(): number[];
  /** Whether users' connections are heard at this port now, as it is bound or as it is seen from outside. */
  listensAt(port: number): boolean;
  /** New connections get this certificate. */
  renew(tls: TlsPair): void;
  /**
   * Stops listening; resolves when all requests have ended. Nothing opens after it. Where a successor listens too, idle
   * connections have `idleMs` milliseconds to hear that they should come back.
   */
  finish(idleMs: number): Promise<void>;
  /** Closes what is left. */
  abort(): Promise<void>;
}

export interface PortSettings {
  log: Log;
  /** Opens a port; `seenAs` is its number from outside. Throws when it can't be had. */
  listen: (port: number, seenAs: number) => Listener;
  /** The port to bind for one seen from outside; null when it is not of this worker's range. */
  bindPort: (advertised: number) => number | null;
  /** Whether nobody listens on a port as it is bound. */
  isFree: (bound: number) => boolean;
  /** There is one blocked port more, or one less. */
  changed: () => void;
  /** True while another process of this worker may be in the way for a moment: a port that it has is not a foreign process's. */
  hasSibling?: () => boolean;
}

/** Where two processes of a worker open a new circuit's port at once, one of them may fail at first. Milliseconds. */
const SIBLING_MS = 250;

/** A listener for each port that carries a circuit. */
export function createPortFrontends(settings: PortSettings): Frontends {
  const { log, listen, bindPort, isFree, changed, hasSibling = () => false } = settings;
  const listeners = new Map<number, { listener: Listener; circuitId: string }>();
  /** The same ports as they are bound. */
  const boundPorts = new Set<number>();
  /** Circuits whose port could not be opened, and why. */
  const failed = new Map<string, { circuit: Circuit; why: string }>();
  const blocked = createBlockedPorts((port) => {
    const bound = bindPort(port);
    return bound === null || isFree(bound);
  }, changed);
  const inTurn = new Map<number, Promise<unknown>>();
  let closing = false;

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
    if (held?.circuitId === circuit.id) return !closing;
    if (held !== undefined) await closePort(port);
    if (closing) return false;
    if (tryPort(circuit, port) || !hasSibling()) return listeners.has(port);
    await Bun.sleep(SIBLING_MS);
    return !closing && tryPort(circuit, port);
  }

  function tryPort(circuit: Circuit, port: number): boolean {
    const bound = bindPort(port);
    try {
      if (bound === null) throw new Error("the port is not of this worker's bind_port_range");
      listeners.set(port, { listener: listen(bound, port), circuitId: circuit.id });
      boundPorts.add(bound);
      failed.delete(circuit.id);
      blocked.remove(port);
      return true;
    } catch (error) {
      if (!failed.has(circuit.id)) {
        const about = { circuit: circuit.id, port: bound ?? port, reason: reason(error) };
        log.error(about, `Cannot open port ${bound ?? port} for a circuit; trying again every few seconds`);
      }
      failed.set(circuit.id, { circuit, why: reason(error) });
      blocked.add(port);
      return false;
    }
  }

  async function closePort(port: number): Promise<void> {
    const held = listeners.get(port);
    listeners.delete(port);
    boundPorts.delete(bindPort(port) ?? port);
    await held?.listener.close("now");
  }

  /** Opens what is still wanted when its turn comes: it may have been closed since. */
  function again(circuit: Circuit): Promise<boolean> {
    const port = circuit.port ?? 0;
    return turn(port, async () => failed.get(circuit.id)?.circuit === circuit && openPort(circuit, port));
  }

  /** They stay known: a circuit that goes meanwhile takes its port with it, and another one may be given it. */
  async function closeAll(how: "now" | "finish", idleMs?: number): Promise<void> {
    closing = true;
    await Promise.all([...listeners.values()].map(({ listener }) => listener.close(how, idleMs)));
  }

  return {
    open(circuit) {
      const { port } = circuit;
      // Without a port it is a wildcard worker's: it can't be reached here.
      return port === null ? Promise.resolve(false) : turn(port, () => openPort(circuit, port));
    },
    serves: ({ id, port }) => !closing && port !== null && listeners.get(port)?.circuitId === id,
    async close({ id, port }) {
      if (port === null) return;
      await turn(port, async () => {
        failed.delete(id);
        if (listeners.get(port)?.circuitId === id) await closePort(port);
      });
    },
    async retry() {
      const wanted = [...failed.values()].map(({ circuit }) => circuit);
      blocked.check(new Set(wanted.map(({ port }) => port ?? 0)));
      const opened = await Promise.all(wanted.map(again));
      return wanted.filter((_, at) => opened[at]);
    },
    failed: () =>
      [...failed.values()].flatMap(({ circuit: { port } }) => (port === null ? [] : (bindPort(port) ?? []))),
    refusal: ({ id, port }) => {
      // Without a port it is a wildcard worker's.
      if (port === null) return "this worker serves ports, and the circuit has none";
      return failed.get(id)?.why ?? null;
    },
    blocked: () => blocked.list(),
    listensAt: (port) => listeners.has(port) || boundPorts.has(port),
    renew(tls) {
      for (const [port, { listener }] of listeners) {
        try {
          listener.renew(tls);
        } catch (error) {
          log.error({ port, reason: reason(error) }, "a port keeps its old certificate: the new one can't be served");
        }
      }
    },
    finish: (idleMs) => closeAll("finish", idleMs),
    abort: () => closeAll("now"),
  };
}

/** One listener for all circuits; they are told apart by name. */
export function createWildcardFrontends(listener: Listener): Frontends {
  let open = true;
  return {
    open: async ({ subdomain }) => open && subdomain !== null,
    serves: ({ subdomain }) => open && subdomain !== null,
    // The table ends what runs over a circuit that goes; the listener stays for the others.
    close: () => Promise.resolve(),
    retry: () => Promise.resolve([]),
    failed: () => [],
    refusal: ({ subdomain }) => (subdomain === null ? "this worker serves names, and the circuit has none" : null),
    blocked: () => [],
    listensAt: (port) => port === listener.port,
    renew: (tls) => listener.renew(tls),
    async finish(idleMs) {
      open = false;
      await listener.close("finish", idleMs);
    },
    async abort() {
      open = false;
      await listener.close("now");
    },
  };
}
