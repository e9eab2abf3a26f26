/** Listeners that share their port on purpose: while a certificate is renewed, and while a worker takes over from another. */

/**
 * Throws when somebody listens there. What is opened next may share its port; without this a second service would
 * silently get some of the first one's connections.
 */
export function assertPortFree(hostname: string, port: number): void {
  if (port === 0) return;
  Bun.listen({ hostname, port, exclusive: true, socket: { data: () => undefined } }).stop(true);
}

/** Whether nobody listens there, and it could be opened. */
export function isPortFree(hostname: string, port: number): boolean {
  try {
    assertPortFree(hostname, port);
    return true;
  } catch {
    return false; // taken, or not for this user: either way it can't be opened
  }
}
