/**
 * The other process of this worker: a second one with the same authority and the same ports, which takes over from the
 * first. Who listens on our API port, and says there that it is of our authority, is the sibling; anybody else on a port of ours
 * is foreign. At most two are there at once: so the order of listeners on a port can be known.
 */
import { hostPort, isRecord } from "../../shared/values.ts";
import { reason } from "../../shared/failure.ts";
import { assertPortFree } from "../../shared/runtime/ports.ts";
import type { Sharing } from "./types.ts";
import { forgetListening, listenersAt, listening } from "./linux-sockets.ts";
import { canSteer } from "./linux-reuseport.ts";
import { bornAt, holders, SiblingSockets } from "./linux-sibling-sockets.ts";

const ASK_MS = 3000;
/** So often it is checked whether the predecessor has ended. Milliseconds. */
const CHECK_MS = 100;
/** How long one that has just taken over itself may need to be ready for its own successor. Milliseconds. */
const BUSY_MS = 5000;

/** With whom a worker shares its ports. */
export interface Sibling extends Sharing {
  /** The process that is taken over from; null when there was none. */
  readonly predecessor: number | null;
  /** Its id as a node; null when it told none, as older versions do. */
  readonly predecessorNode: string | null;
  /** True when the process that is taken over from listens on a port, at whatever address. */
  serves(port: number): boolean;
  /** What is told to one who wants to take over: a third process has to wait, and with several their supervisor does it. */
  takeover(): "open" | "busy" | "lanes";
}

/** What has to be known of a worker's own configuration. */
export interface OwnAddress {
  authority: string;
  share_ports: boolean;
  api_bind_addr: { host: string; port: number };
  tls_listen: boolean;
}

/**
 * Null when nobody may share the ports. Rejects when the API address is taken by a foreign process, or by two processes of this
 * worker already, or when the process that a supervisor wants to be replaced, `wanted`, listens at another address.
 */
export async function findSibling(own: OwnAddress, wanted: number | null): Promise<Sibling | null> {
  if (!own.share_ports || !canSteer()) return null;
  const { host, port } = own.api_bind_addr;
  const cannot = `Cannot listen on ${hostPort(own.api_bind_addr)} (proxy_worker.api_bind_addr)`;
  if (isFree(host, port)) {
    // Without the same address it would not be known, and neither of the two would be let in to the other's ports.
    if (wanted !== null && bornAt(wanted) !== null)
      throw new Error(`${cannot}: the running worker listens at another address; a change of it needs a restart`);
    return siblingOf(host, port, null);
  }
  const { fault, node } = await whyForeign(own);
  if (fault !== null) throw new Error(`${cannot}: ${fault}`);
  forgetListening();
  const [predecessor, other] = holders(listenersAt(host, port));
  if (predecessor === undefined)
    throw new Error(`${cannot}: its process can't be seen from here: it is another user's, or in another container`);
  if (other !== undefined)
    throw new Error(
      `${cannot}: worker "${own.authority}" is being taken over already; wait until the older process has ended`,
    );
  return siblingOf(host, port, predecessor, node);
}

// --- internal ---

function siblingOf(host: string, port: number, predecessor: number | null, node: string | null = null): Sibling {
  const sockets = new SiblingSockets(host, port, predecessor);
  const { promise: alone, resolve } = Promise.withResolvers<void>();
  let isNew = predecessor !== null;
  let busy = isNew;
  const born = predecessor === null ? null : bornAt(predecessor);
  const check = () => {
    if (predecessor !== null && born !== null && bornAt(predecessor) === born) return;
    clearInterval(timer);
    isNew = false;
    sockets.oldHasEnded();
    resolve();
    // Whoever waits for it has steered by then.
    setImmediate(() => (busy = false));
  };
  const timer = setInterval(check, CHECK_MS);
  timer.unref();
  if (!isNew) check();
  let [checkedAt, hadSuccessor] = [-Infinity, false];
  // It is asked for each port that is opened, and reading the tables of thousands of ports takes milliseconds.
  const hasSibling = () => {
    if (!isNew && performance.now() - checkedAt > CHECK_MS)
      [checkedAt, hadSuccessor] = [performance.now(), sockets.hasSuccessor()];
    return isNew || hadSuccessor;
  };
  return {
    predecessor,
    predecessorNode: node,
    alone,
    isNew: () => isNew,
    hasSibling,
    sideOf: (inode) => sockets.sideOf(inode),
    serves: (taken) => isNew && listening().some((one) => one.port === taken && sockets.sideOf(one.inode) === "old"),
    takeover: () => (busy ? "busy" : "open"),
  };
}

function isFree(host: string, port: number): boolean {
  try {
    assertPortFree(host, port);
    return true;
  } catch {
    return false; // taken; by whom is asked next
  }
}

/** Why the port can't be shared with the one that has it, which has to be `wanted`; null when it can, and the node that it is. */
export async function whyForeign(
  own: OwnAddress,
  wanted: "open" | "lanes" = "open",
): Promise<{ fault: string | null; node: string | null }> {
  const foreign = (fault: string) => ({ fault, node: null });
  const { authority } = own;
  const end = performance.now() + BUSY_MS;
  for (;;) {
    const said = await about(own);
    if (typeof said === "string") return foreign(`it is in use by something that is no worker (${said})`);
    if (said["authority"] !== authority)
      return foreign(
        `it is in use by worker ${JSON.stringify(said["authority"])}, not by "${authority}"; each authority needs an address of its own`,
      );
    const { takeover, node_id: node } = said;
    if (takeover === wanted) return { fault: null, node: typeof node === "string" ? node : null };
    if (takeover === "lanes")
      return foreign(`worker "${authority}" runs already, in several processes under its supervisor; stop that first`);
    if (takeover !== "busy")
      return foreign(`worker "${authority}" runs already, without proxy_worker.share_ports; stop it first`);
    if (performance.now() > end)
      return foreign(`worker "${authority}" is being taken over already; wait until the older process has ended`);
    await Bun.sleep(CHECK_MS);
  }
}

/** What the process at our API address says of itself, or why it says nothing. */
async function about({ api_bind_addr: { host, port }, tls_listen: tls }: OwnAddress) {
  const at = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  try {
    const answer = await fetch(`${tls ? "https" : "http"}://${hostPort({ host: at, port })}/health/status`, {
      signal: AbortSignal.timeout(ASK_MS),
      keepalive: false,
      // It is this machine; the certificate is for the name that people use.
      tls: { rejectUnauthorized: false },
    });
    const said: unknown = await answer.json();
    return isRecord(said) ? said : "its answer is no object";
  } catch (error) {
    return reason(error);
  }
}
