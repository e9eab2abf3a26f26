/**
 * The processes of a worker that has several (`proxy_worker.processes`): each has every port open, and the kernel spreads new
 * connections over them. Which they are is told by who has started them, their supervisor; anybody else on a port of ours is
 * foreign. At most one leaves at a time. Called by run.ts.
 */
import { hostPort } from "../../shared/values.ts";
import { PREDECESSOR } from "../../shared/runtime/supervised.ts";
import type { LaneInodes } from "../lanes/inodes.ts";
import { forgetListening, listenersAt, listening, socketsOf } from "./linux-sockets.ts";
import { bornAt, brothers, variableOf } from "./linux-sibling-sockets.ts";
import { canSteer } from "./linux-reuseport.ts";
import { type OwnAddress, type Sibling, whyForeign } from "./sibling.ts";

/** So many foreign listeners are remembered; others are looked up each time. */
const MOST_FOREIGN = 10_000;

/** So often it is checked whether the predecessor has ended. Milliseconds. */
const CHECK_MS = 100;

export interface LanesDeps {
  inodes: Pick<LaneInodes, "note" | "has">;
  /** Calls `act` each time a process of the worker has ended; gives what ends that. */
  onEnd: (act: () => void) => () => void;
  /** The process that this one replaces in its lane; null when there is none. */
  predecessor: number | null;
}

/** Rejects when several can't share ports here, or when this one would listen at another address than they do. */
export async function findLanes(own: OwnAddress, { inodes, onEnd, predecessor }: LanesDeps): Promise<Sibling> {
  const { host, port } = own.api_bind_addr;
  if (!canSteer())
    throw new Error(
      "Cannot run several processes (proxy_worker.processes): connections can't be steered on this system",
    );
  const born = predecessor === null ? null : bornAt(predecessor);
  let node: string | null = null;
  if (born !== null) {
    const cannot = `Cannot listen on ${hostPort(own.api_bind_addr)} (proxy_worker.api_bind_addr)`;
    forgetListening();
    if (listenersAt(host, port).length === 0)
      throw new Error(`${cannot}: the running worker listens at another address; a change of it needs a restart`);
    const said = await whyForeign(own, "lanes");
    if (said.fault !== null) throw new Error(`${cannot}: ${said.fault}`);
    ({ node } = said);
  }
  const sockets = new BrotherSockets();
  const sideOf = (inode: number) => (inodes.has(inode) || sockets.has(inode) ? "lane" : "foreign");
  const serve = (wanted: number) => listening().some((one) => one.port === wanted && sideOf(one.inode) === "lane");
  const { promise: alone, resolve } = Promise.withResolvers<void>();
  let isNew = born !== null;
  const check = () => {
    if (predecessor !== null && born !== null && bornAt(predecessor) === born) return;
    clearInterval(timer);
    isNew = false;
    resolve();
  };
  const timer = setInterval(check, CHECK_MS);
  timer.unref();
  if (!isNew) check();
  return {
    predecessor,
    // Of whichever process has answered: what one of them may say, all may.
    predecessorNode: node,
    alone,
    isNew: () => isNew,
    // One that tries whether a blocked port is free is in the way of the others for a moment.
    hasSibling: () => true,
    sideOf,
    serves: (taken) => isNew && serve(taken),
    takeover: () => "lanes",
    lanes: {
      othersStay: () => isNew || brothers().some((pid) => variableOf(pid, PREDECESSOR) === String(process.pid)),
      isReplacing: () => brothers().some((pid) => bornAt(Number(variableOf(pid, PREDECESSOR) ?? 0)) !== null),
      serve,
      opened: (inode) => inodes.note(inode),
      onEnd,
    },
  };
}

// --- internal ---

/** Listeners of the other processes, as the system tells: where they have not noted them themselves yet. */
class BrotherSockets {
  /** Kept for a turn of the event loop: of thousands of connections it takes long. */
  #sockets: ReadonlySet<number> | null = null;
  /** Those that are not. A listener is somebody's from its start on, so it stays foreign. */
  readonly #foreign = new Set<number>();

  has(inode: number): boolean {
    if (this.#foreign.has(inode)) return false;
    if (this.#sockets === null) setImmediate(() => (this.#sockets = null));
    const isKnown = this.#sockets?.has(inode) === true;
    if (!isKnown) this.#sockets = new Set(brothers().flatMap((pid) => [...socketsOf(pid)]));
    const isBrothers = isKnown || this.#sockets?.has(inode) === true;
    if (!isBrothers && this.#foreign.size < MOST_FOREIGN) this.#foreign.add(inode);
    return isBrothers;
  }
}
