/** Waiting, but not for ever. The one race with a timer: the timer ends with the wait, whichever of the two comes first. */

/** What `work` gives within `ms` milliseconds; undefined where that takes longer. It goes on then, unheard, and may reject. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
