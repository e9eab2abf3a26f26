/**
 * One address of a target, for `fetch`, which would resolve a name again: what was judged is what is dialled. Looking for it
 * ends with its limit and with the request, whatever the resolver does.
 */
import { within } from "../../shared/runtime/deadline.ts";
import { CONNECT_LIMIT_MS, dial } from "./dial.ts";
import type { Target } from "./targets.ts";
import { UpstreamFault } from "./upstream-fault.ts";

/**
 * The only address of a target, or of several the first that accepts a connection (which is closed again). Throws or rejects
 * with an UpstreamFault, or with the signal's reason as soon as it is aborted.
 */
export function oneAddress(target: Target, signal: AbortSignal, limit = CONNECT_LIMIT_MS): string | Promise<string> {
  const addresses = target.addresses();
  if (addresses instanceof Promise) return choose(target, addresses, signal, limit);
  return addresses.length > 1 ? choose(target, Promise.resolve(addresses), signal, limit) : (addresses[0] ?? "");
}

/** Nobody is at an address any more that was given for a target: if it has several, they are tried again. */
export function forgetAddress(target: Target, address: string): void {
  const choice = known.get(target);
  if (choice?.isFound === true && choice.among.has(address)) known.delete(target);
}

// --- internal ---

/** How long an address that took a connection is used without trying the others again. Milliseconds. */
const GOOD_MS = 2000;

/** One of several addresses, for all who ask within a moment: it is being looked for, or found. */
interface Choice {
  readonly address: Promise<string>;
  /** It is one of these. */
  among: ReadonlySet<string>;
  isFound: boolean;
  /** Who comes later tries anew. performance.now() milliseconds. */
  until: number;
  /** How many wait for it. */
  waiting: number;
  /** Nobody waits for it any more: it has failed, or they have left. */
  cancel: () => void;
}

const known = new WeakMap<Target, Choice>();

async function choose(
  target: Target,
  looking: Promise<readonly string[]>,
  signal: AbortSignal,
  limit: number,
): Promise<string> {
  const end = performance.now() + limit;
  const addresses = await inTime(looking, signal, limit);
  if (addresses.length === 1) return addresses[0] ?? "";
  const choice = shared(target, addresses) ?? tryAll(target, addresses);
  choice.waiting++;
  try {
    return await inTime(choice.address, signal, end - performance.now());
  } finally {
    choice.waiting--;
    if (choice.waiting === 0) choice.cancel();
  }
}

/** What others look for or have found. Whatever it is, it is an address of the name that was judged just now. */
function shared(target: Target, addresses: readonly string[]): Choice | null {
  const choice = known.get(target);
  if (choice === undefined || performance.now() >= choice.until) return null;
  return choice.among.isSubsetOf(new Set(addresses)) ? choice : null;
}

function tryAll(target: Target, addresses: readonly string[]): Choice {
  const { host, port } = target;
  const ignore = () => undefined;
  let taken = "";
  const { socket, cancel } = dial(
    { host, port, addresses: () => addresses },
    undefined,
    { data: ignore, error: ignore },
    { taken: (address) => (taken = address) },
  );
  const found = (made: Bun.Socket) => {
    made.terminate();
    Object.assign(choice, {
      among: new Set([taken]),
      isFound: true,
      until: performance.now() + GOOD_MS,
      cancel: ignore,
    });
    return taken;
  };
  const choice: Choice = {
    address: socket.then(found),
    among: new Set(addresses),
    isFound: false,
    until: performance.now() + GOOD_MS,
    waiting: 0,
    cancel() {
      if (known.get(target) === choice) known.delete(target);
      cancel();
    },
  };
  known.set(target, choice);
  return choice;
}

/** What `work` gives, unless time is up or the signal is aborted before: it goes on then, unheard. */
async function inTime<T>(work: Promise<T>, signal: AbortSignal, ms: number): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    const found = await within(ms, Promise.race([work, aborted.promise]));
    if (found === undefined) throw new UpstreamFault("late", "no address to connect to within the limit");
    return found;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
