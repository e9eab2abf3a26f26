/** Addresses to which this worker has connected lately, whatever name led there: who comes from one of them may be an app. */
import { canonicalAddress } from "../../shared/http/addresses.ts";
import { Recent } from "../../shared/runtime/recent.ts";

/** So many are remembered, at least. A loop of requests makes connections all the time. */
const MOST = 10_000;

const lately = new Recent<true>(MOST);

/** A connection to this address is being made, however it is spelled. */
export function noteDialled(address: string): void {
  lately.set(address.includes(":") ? canonicalAddress(address) : address, true);
}

/** Cheap: asked with every request. */
export function wasDialled(address: string): boolean {
  return lately.get(address) === true;
}
