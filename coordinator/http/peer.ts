/** Whose connection a request came on, also when another request took its place (method-override.ts). */

export interface PeerSource {
  requestIP(request: Request): { address: string; port: number } | null;
}

/** The address of the connection's other end; null when it is not known. */
export function peerOf(request: Request, server: PeerSource | null): string | null {
  return addresses.get(request) ?? server?.requestIP(request)?.address ?? null;
}

/** `meant` is answered in the place of `request`. */
export function inheritPeer(meant: Request, request: Request, server: PeerSource | null): void {
  const address = peerOf(request, server);
  if (address !== null) addresses.set(meant, address);
}

// --- internal ---

const addresses = new WeakMap<Request, string>();
