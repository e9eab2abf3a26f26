/**
 * The ports of this worker's range that it cannot open now: another process has them. The coordinator is told of them and
 * hands them out to nobody until they are free. Kept by frontends.ts, which tries the ports; told by sync.ts.
 */

export interface BlockedPorts {
  /** A port, as it is seen from outside, could not be opened. */
  add(port: number): void;
  /** It could. */
  remove(port: number): void;
  has(port: number): boolean;
  /** All of them, in order. */
  list(): number[];
  /** Looks at those that `wanted` does not name: nobody else tries them. */
  check(wanted: ReadonlySet<number>): void;
}

/** So many are checked in a round, those first that were not for longest; a check takes some 20 µs. */
const ROUND = 512;

/** `isFree` looks at a port as it is seen from outside; `changed` is called when there is one more or one less. */
export function createBlockedPorts(isFree: (port: number) => boolean, changed: () => void): BlockedPorts {
  /** In the order in which they were last looked at. */
  const ports = new Set<number>();
  return {
    add(port) {
      if (ports.has(port)) return;
      ports.add(port);
      changed();
    },
    remove(port) {
      if (ports.delete(port)) changed();
    },
    has: (port) => ports.has(port),
    list: () => [...ports].toSorted((a, b) => a - b),
    check(wanted) {
      const round = [...ports].filter((port) => !wanted.has(port)).slice(0, ROUND);
      let freed = false;
      for (const port of round) {
        ports.delete(port);
        if (isFree(port)) freed = true;
        else ports.add(port);
      }
      if (freed) changed();
    },
  };
}
