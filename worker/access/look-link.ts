/** The links of a second look (second-look.ts): signed, for a minute, and of two kinds, one for each way. Pure. */
import { ringOf, seal, unseal, type KeyRing } from "./sealed.ts";

/** What a link to the other family says. */
export interface Look {
  cid: string;
  /** Under this it is remembered whose address was let in by it: one link of `/setup` lets in one more. */
  id: string;
  /** The address that `/setup` has let in. */
  by: string;
  /** Where the API is over that address's family. */
  back: string;
  /** Epoch seconds. */
  exp: number;
}

/** What the link back says: the address that came over the other family. */
export interface Seen extends Look {
  also: string;
}

/** Seconds: a page asks at once, a program soon. */
export const LOOK_LIFETIME = 60;

/** Where the worker's API answers them. */
export const LOOK_PATH = "/setup/second-look";

/** Under what it is remembered which address the link of a setup token has let in. */
export function lookId(id: string): string {
  return `look.${id}`;
}

export class LookLinks {
  readonly #keys: KeyRing;

  /** The first secret signs, all verify. */
  constructor(secrets: readonly string[]) {
    this.#keys = ringOf(secrets, "second look");
  }

  there(look: Look): string {
    return seal("l1", look, this.#keys);
  }

  back(seen: Seen): string {
    return seal("l2", seen, this.#keys);
  }

  /** What a genuine link says, whatever its age; `also` is null of one that leads there. Null for anything else. */
  read(text: string): (Look & { also: string | null }) | null {
    const there = unseal("l1", text, this.#keys);
    if (there !== null) return isLook(there) ? { ...there, also: null } : null;
    const back = unseal("l2", text, this.#keys);
    return back !== null && isLook(back) && typeof back["also"] === "string" ? { ...back, also: back["also"] } : null;
  }
}

// --- internal ---

function isLook(claims: Record<string, unknown>): claims is Record<string, unknown> & Look {
  const { cid, id, by, back, exp } = claims;
  return [cid, id, by, back].every((value) => typeof value === "string") && typeof exp === "number";
}
