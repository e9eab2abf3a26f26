/**
 * A listener that opens at once, or only when its process is ready: where other processes of the worker listen already, they
 * alone get the connections as long as it could only say that it is starting. Used for the worker's API and for wildcard
 * traffic; the ports of circuits open with them.
 */

export interface Late<T> {
  /** Opens it, unless that was done, or it is closed. Throws when it can't be opened. */
  open(): void;
  /** Null before that. */
  opened(): T | null;
  /** The same, to be closed: it opens no more. */
  closed(): T | null;
}

/** Throws when it is to be open at once and can't be. */
export function createLate<T>(waits: boolean, open: () => T): Late<T> {
  let opened = waits ? null : open();
  let isClosed = false;
  return {
    open() {
      if (!isClosed) opened ??= open();
    },
    opened: () => opened,
    closed() {
      isClosed = true;
      return opened;
    },
  };
}
