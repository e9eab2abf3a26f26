/**
 * A name with several addresses (RFC 8305, "happy eyeballs"): they are tried in turn, the next one when the one before has
 * failed or says nothing for a moment, and the first that accepts is taken.
 */
import { isIPv6 } from "node:net";

/** RFC 8305 §5, "Connection Attempt Delay". Milliseconds. */
const NEXT_AFTER_MS = 250;
/** Of a name with more, the first. */
const MAX_TRIED = 8;

/** Connects to one address with these handlers. */
type Connect<T> = (address: string, handlers: Bun.SocketHandler<T>) => Promise<Bun.Socket<T>>;

/**
 * Resolves with the first connection, after `taken` was told its address; the others are closed and never heard of. Rejects
 * as the last one that failed did.
 */
export function raceTo<T>(
  addresses: readonly string[],
  handlers: Bun.SocketHandler<T>,
  connect: Connect<T>,
  isOver: () => boolean,
  taken?: (address: string) => void,
): Promise<Bun.Socket<T>> {
  const { promise, resolve, reject } = Promise.withResolvers<Bun.Socket<T>>();
  const left = inTurns(addresses).slice(0, MAX_TRIED);
  let winner: Bun.Socket<T> | null = null;
  let open = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const own: Bun.SocketHandler<T> = {
    ...handlers,
    open(socket) {
      if (winner !== null || isOver()) return socket.terminate();
      winner = socket;
      clearTimeout(timer);
      void handlers.open?.(socket);
    },
    data: (socket, bytes) => (socket === winner ? handlers.data?.(socket, bytes) : undefined),
    drain: (socket) => (socket === winner ? handlers.drain?.(socket) : undefined),
    end: (socket) => (socket === winner ? handlers.end?.(socket) : undefined),
    close: (socket, error) => (socket === winner ? handlers.close?.(socket, error) : undefined),
  };

  function next(): void {
    clearTimeout(timer);
    const address = left.shift();
    if (address === undefined || winner !== null || isOver()) return;
    open++;
    connect(address, own).then((socket) => {
      if (socket !== winner) return;
      taken?.(address);
      resolve(socket);
    }, failed);
    if (left.length > 0) timer = setTimeout(next, NEXT_AFTER_MS);
  }

  function failed(error: unknown): void {
    open--;
    if (winner !== null) return;
    if (left.length > 0) return next();
    if (open === 0) reject(error);
  }

  next();
  return promise;
}

// --- internal ---

/** RFC 8305 §4: the families take turns, the first one's first. */
function inTurns(addresses: readonly string[]): string[] {
  const isFirsts = (address: string) => isIPv6(address) === isIPv6(addresses[0] ?? "");
  const [one, other] = [addresses.filter(isFirsts), addresses.filter((address) => !isFirsts(address))];
  return one.flatMap((address, at) => [address, ...other.slice(at, at + 1)]).concat(other.slice(one.length));
}
