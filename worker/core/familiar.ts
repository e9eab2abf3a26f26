/**
 * What the core has worked out of a request's header lines, for requests with the same lines of the same client to the same
 * circuit (`RequestHead.alike`): a client on a kept connection repeats its lines with each request. Nothing of it is a
 * decision: whether the client may pass, and where to, is asked anew each time.
 */
import type { KnownPermit } from "../access/authorize.ts";
import type { PermitClaims } from "../access/permit.ts";
import type { Entry } from "../circuits/table.ts";
import type { Client } from "../http/client-address.ts";
import type { AnswerLines, HeaderEdits, RequestHead } from "../seam/engine.ts";

type AnswerEdits = (answer: AnswerLines, status: number) => HeaderEdits;

export class Familiar implements KnownPermit {
  readonly client: Client;
  permit: PermitClaims | null = null;
  /** Of the lines for the app. */
  edits: HeaderEdits | null = null;
  /** Of the answer's lines, where these are added to it. */
  answer: { add: object; cors: object; frames: object; edits: AnswerEdits } | null = null;
  readonly #entry: Entry;
  /** The entry's state. */
  readonly #circuit: object;
  readonly #peer: string;
  readonly #authority: string;
  readonly #tls: boolean;

  constructor({ peer, authority, tls }: RequestHead, entry: Entry, client: Client) {
    this.client = client;
    this.#entry = entry;
    this.#circuit = entry.circuit;
    this.#peer = peer;
    this.#authority = authority;
    this.#tls = tls;
  }

  isOf({ peer, authority, tls }: RequestHead, entry: Entry): boolean {
    return (
      this.#entry === entry &&
      this.#circuit === entry.circuit &&
      this.#peer === peer &&
      this.#authority === authority &&
      this.#tls === tls
    );
  }
}

/** One for lines; `clientOf` reads who the client is where they are new, and may throw. */
export class Familiars {
  readonly #all = new WeakMap<object, Familiar>();

  of(head: RequestHead, entry: Entry, clientOf: () => Client): Familiar {
    const { alike } = head;
    // The handshake's edits are others than those of the same lines without one; it comes once a connection.
    if (alike === undefined || head.upgrade) return new Familiar(head, entry, clientOf());
    const known = this.#all.get(alike);
    if (known?.isOf(head, entry) === true) return known;
    const familiar = new Familiar(head, entry, clientOf());
    this.#all.set(alike, familiar);
    return familiar;
  }
}
