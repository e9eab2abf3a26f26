/** Who comes to the worker's API: the client's address, and what tells one person from another. Pure. */
import { clientOf, plainAddress, type Proxies } from "../http/client-address.ts";

export interface Person {
  /** The client's address, as far as it is believed. */
  address: string;
  /**
   * Who a link is for: the address. Behind a load balancer that `trusted_proxies` does not name all people have its own; what
   * it says of them is not believed, but tells them apart.
   */
  id: string;
}

export function personOf(request: Request, peer: string, proxies: Proxies): Person {
  const head = headOf(request, peer);
  const { address } = clientOf(head, proxies);
  const own = plainAddress(peer);
  if (proxies.trusted(own)) return { address, id: address };
  const told = clientOf(head, { ...proxies, trusted: (one) => one === own }).address;
  return { address, id: told === address ? address : `${address}+${told}` };
}

// --- internal ---

/** What says where a client comes from. */
function headOf({ headers }: Request, peer: string) {
  return { peer, tls: false, authority: headers.get("host") ?? "", header: (name: string) => headers.get(name) };
}
