/** A limit for work on connections, so that looking at kernels never takes the sockets of the traffic. Used by probes. */

/** Runs pieces of work in order, only so many at once. */
export type Limiter = <T>(work: () => Promise<T>) => Promise<T>;

/** `most` at once; who holds the work bounds how much waits. */
export function createLimiter(most: number): Limiter {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= most) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push(resolve);
      // Whoever ends hands its place on.
      await promise;
    } else running++;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
