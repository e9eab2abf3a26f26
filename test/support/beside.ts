/**
 * A second process beside a test's own, which takes over its ports with the Bun engine: started by `startBeside`, told by
 * messages what to do. Its parent is the predecessor.
 */
import { bunEngine } from "../../worker/engine/bun/engine.ts";
import type { Listener, Sharing } from "../../worker/listeners/types.ts";
import type { Core } from "../../worker/seam/engine.ts";
import { ALONE } from "./listening.ts";
import { socketsOf } from "../../worker/listeners/linux-sockets.ts";

type Order = { check: number } | { open: number; name: string } | { close: number };

/** A core that answers everything with its name. */
export function named(name: string): Core<null> {
  return {
    decide: () => ({ kind: "answer", answer: { status: 200, headers: [], body: name } }),
    failed: () => ({ status: 500, headers: [], body: name }),
    upstreamFault() {
      throw new Error("nothing is forwarded");
    },
    admit: () => null,
    unanswered: () => undefined,
  };
}

/** Opens a port as a circuit's. */
export function openNamed(name: string, port: number, sharing: Sharing): Listener {
  return bunEngine.listen({ ...ALONE, port, sharing, frontend: { mode: "port", port } }, named(name));
}

export interface Beside {
  pid: number;
  /** Checks whether a port is free, and stays at it until it opens or closes the port. */
  check(port: number): Promise<void>;
  /** Opens a port, or closes it. */
  open(port: number, name: string): Promise<void>;
  close(port: number): Promise<void>;
  kill(): Promise<void>;
}

export function startBeside(): Beside {
  let done = Promise.withResolvers<void>();
  const child = Bun.spawn([process.execPath, import.meta.path], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (said) => (said === "done" ? done.resolve() : done.reject(new Error(String(said)))),
  });
  const order = (what: Order) => {
    done = Promise.withResolvers();
    child.send(what);
    return done.promise;
  };
  return {
    pid: child.pid,
    check: (port) => order({ check: port }),
    open: (port, name) => order({ open: port, name }),
    close: (port) => order({ close: port }),
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** What a process knows of the other one. */
export function sharingWith(pid: number, side: "old" | "successor"): Sharing {
  return {
    sideOf: (inode) => (socketsOf(pid).has(inode) ? side : "foreign"),
    isNew: () => side === "old",
    hasSibling: () => true,
    alone: new Promise(() => undefined),
  };
}

// --- internal ---

/** As a worker's check does for a tenth of a millisecond. */
const checkAt = (port: number) =>
  Bun.listen({ hostname: "127.0.0.1", port, exclusive: true, socket: { data: () => undefined } });

if (import.meta.main) {
  const sharing = sharingWith(process.ppid, "old");
  const listeners = new Map<number, Listener>();
  let checking: Bun.TCPSocketListener | null = null;
  const act = async (order: Order): Promise<string> => {
    checking?.stop(true);
    checking = "check" in order ? checkAt(order.check) : null;
    if ("open" in order) listeners.set(order.open, openNamed(order.name, order.open, sharing));
    if ("close" in order) await listeners.get(order.close)?.close("now");
    return "done";
  };
  process.on("message", (order: Order) => void act(order).then((said) => process.send?.(said), (error: unknown) => process.send?.(String(error)))); // prettier-ignore
}
