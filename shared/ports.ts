/** Listeners that share their port on purpose, which TLS needs for a moment: see `Listener.renew` and `ApiServer.renew`. */

/**
 * Throws when somebody listens there. Two servers of ours share a port only while a certificate is renewed; without this
 * a second service would silently get some of the first one's connections.
 */
export function assertPortFree(hostname: string, port: number): void {
  if (port === 0) return;
  Bun.listen({ hostname, port, exclusive: true, socket: { data: () => undefined } }).stop(true);
}
