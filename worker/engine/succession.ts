/**
 * The servers that follow each other on one port when its certificate changes (dataplane F3): Bun takes no new
 * certificate for a running server, so another one takes over the port. Used by the Bun engine and the worker's API.
 */
import { dlopen, ptr } from "bun:ffi";

export interface Server {
  stop(closeActive?: boolean): Promise<void>;
}

/**
 * So long an old server serves the connections that it has, telling each with its next answer to close. What is idle
 * even then is closed with it; at once, a request that is on its way over an idle connection would be lost.
 */
const LINGER_MS = 10 * 60_000;

/** All its servers share the port with SO_REUSEPORT. */
export class Succession<S extends Server> {
  /** As the kernel counts the listeners of a port: one that goes leaves its place to the last. */
  readonly #listening: S[];
  /** No longer the newest: they serve what they have. */
  readonly #retired = new Set<S>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #lingerMs: number;
  #current: S;
  /** The newest listener's descriptor. */
  #fd = -1;

  constructor(first: S, lingerMs = LINGER_MS) {
    this.#lingerMs = lingerMs;
    this.#current = first;
    this.#listening = [first];
  }

  /** Opens the next server; new connections go there. Throws, and changes nothing, when it can't be opened. */
  renew(open: () => S): void {
    const expected = lowestFree();
    const old = this.#current;
    this.#current = open();
    this.#listening.push(this.#current);
    this.#retired.add(old);
    this.#fd = isListening(expected) ? expected : -1;
    const retire = () => {
      this.#leave(old);
      void old.stop(false).finally(() => this.#retired.delete(old));
      this.#steer();
    };
    // Connections that stand in the old listener's queue would be reset with it: none may come there any more, and
    // those that are there have to be taken.
    if (!this.#steer()) return retire();
    this.#later(retire);
  }

  /** The answer of an old server asks its client to come back over a new connection. */
  farewell<A extends Response | undefined>(server: S, answer: A): A {
    if (server !== this.#current) answer?.headers.set("Connection", "close");
    return answer;
  }

  /** How many listen: more than one for a while after a renewal. */
  get listeners(): number {
    return this.#listening.length;
  }

  /** Stops them all. */
  async stop(now: boolean): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all([this.#current, ...this.#retired].map((server) => server.stop(now)));
  }

  // --- internal ---

  #later(retire: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      retire();
    }, this.#lingerMs);
    timer.unref();
    this.#timers.add(timer);
  }

  #leave(server: S): void {
    const last = this.#listening.pop();
    const at = this.#listening.indexOf(server);
    if (at !== -1 && last !== undefined) this.#listening[at] = last;
  }

  /** New connections go to the newest; false when the system can't do that. */
  #steer(): boolean {
    return this.#fd !== -1 && steer(this.#fd, this.#listening.indexOf(this.#current));
  }
}

// --- internal ---

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_ATTACH_REUSEPORT_CBPF = 51;
/** BPF_RET | BPF_K: a program that answers with a constant. */
const BPF_RETURN = 6;

let loaded: ReturnType<typeof load> | undefined;
const libc = () => (loaded === undefined ? (loaded = load()) : loaded);

/** Bun has no call for these. Null where there is no glibc: then a few connections may be lost with an old listener. */
function load() {
  try {
    return dlopen("libc.so.6", {
      dup: { args: ["int"], returns: "int" },
      close: { args: ["int"], returns: "int" },
      getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
      setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
    }).symbols;
  } catch {
    return null;
  }
}

/** The descriptor that what is opened next will have; -1 when that can't be known. */
function lowestFree(): number {
  const fd = libc()?.dup(2) ?? -1;
  if (fd !== -1) libc()?.close(fd);
  return fd;
}

function isListening(fd: number): boolean {
  const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])];
  return libc()?.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length)) === 0 && value[0] === 1;
}

/** Linux: new connections of the port of listener `fd` go to its listener number `at`, counted from 0. */
function steer(fd: number, at: number): boolean {
  // struct sock_filter { u16 code; u8 jt, jf; u32 k; }
  const filter = Buffer.alloc(8);
  filter.writeUInt16LE(BPF_RETURN, 0);
  filter.writeUInt32LE(at, 4);
  // struct sock_fprog { u16 len; struct sock_filter *filter; }
  const program = Buffer.alloc(16);
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(BigInt(ptr(filter)), 8);
  return libc()?.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(program), program.length) === 0;
}
