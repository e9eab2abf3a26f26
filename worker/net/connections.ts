/**
 * The room for connections of a whole worker. Each client has a place in it, for which two files count: its own and its app's.
 * Where there is none left, connections to apps that were only kept for later go first, then the clients that have been idle
 * for longest (before their first request, or between two); never one that is in use. Who comes when all are in use is refused.
 * Every step costs the same however many there are. Used by the engines, which say what happens; nothing is closed but by them.
 */
import ipaddr from "ipaddr.js";
import type { AddressMatcher } from "../../shared/http/addresses.ts";
import type { Crowding, Full } from "../../shared/net/crowding.ts";
import { Link, Queue } from "./queue.ts";

export interface RoomSettings {
  /** Most clients. */
  connections: number;
  /** Most clients of one address; an IPv6 /64 is one. */
  ofAddress: number;
  /** Most files, of clients and of what is kept or given up. */
  files: number;
  /** Whose connections are many people's: proxies in front. */
  isExempt: AddressMatcher;
  crowding: Crowding;
}

/** A client's own, and its app's. */
const CLIENT_FILES = 2;
/** Clients at once that are let in only to be told that there is no room. Their files are of those that are kept back. */
const MAX_TURNED_AWAY = 32;

/** The clients of one address. */
interface Address {
  readonly key: string;
  clients: number;
  readonly idle: Queue<Place>;
}

export class Connections {
  readonly #settings: RoomSettings;
  readonly #addresses = new Map<string, Address>();
  readonly #idle = new Queue<Place>();
  readonly #turnedAway = new Queue<Place>();
  readonly #spares = new Queue<Spare>();
  #clients = 0;
  /** Files that are open: of an idle client one, of one in use two. */
  #files = 0;
  #givenUp = 0;
  /** The last address that was asked for: behind a proxy it is always the same. */
  #asked: { address: string; key: string | null } = { address: "", key: null };

  constructor(settings: RoomSettings) {
    this.#settings = settings;
  }

  /** Clients that have a place. */
  get clients(): number {
    return this.#clients;
  }

  get most(): number {
    return this.#settings.connections;
  }

  /** Files that are open. */
  get files(): number {
    return this.#files;
  }

  /**
   * A client has come; it is idle. `end` closes it at once. Its place may be one of those that are turned away (`full`). Whoever
   * has a place says `from` next, and `leave` at last.
   */
  enter(end: () => void): Place {
    const place = new Place(this, end);
    if (this.#makeRoom(CLIENT_FILES, 1)) {
      this.#clients++;
      this.#idle.push(place.link);
      this.#open(1);
    } else this.#turnAway(place, "worker", {});
    return place;
  }

  /** A connection to an app is kept for later, or is closing. `end` closes it at once. Null: there is no room for it. */
  spare(end: () => void): Spare | null {
    if (this.#files >= this.#settings.files) {
      const oldest = this.#spares.first;
      if (oldest === null) return null;
      this.#closeSpare(oldest);
    }
    this.#files++;
    const spare = new Spare(end, () => void this.#files--);
    this.#spares.push(spare.link);
    return spare;
  }

  /**
   * A socket to an app that is no client's own: one of several that are tried at once, or one that was given up and can't be
   * ended, of which dial.ts lets only so many be. It counts until what is returned is called.
   */
  givenUp(): () => void {
    this.#makeRoom(1, 0);
    this.#givenUp++;
    this.#open(1);
    return () => {
      this.#givenUp--;
      this.#files--;
    };
  }

  // --- a place's side ---

  /** @internal */
  arrive(place: Place, address: string): Address | null {
    const key = this.#keyOf(address);
    if (key === null) return null;
    let of = this.#addresses.get(key);
    if (of === undefined) this.#addresses.set(key, (of = { key, clients: 0, idle: new Queue() }));
    if (of.clients >= this.#settings.ofAddress) {
      const idle = of.idle.first;
      if (idle === null) {
        this.depart(place);
        this.#turnAway(place, "address", { address: key });
        return null;
      }
      this.#closeIdle(idle, { full: "address", address: key });
      // It may have been the last one that was there.
      this.#addresses.set(key, of);
    }
    of.clients++;
    return of;
  }

  /** @internal */
  setIdle({ link, ofAddress }: Place, of: Address | null): void {
    if (link.queue !== null) return;
    this.#idle.push(link);
    of?.idle.push(ofAddress);
    this.#files--;
  }

  /** @internal */
  setBusy({ link, ofAddress }: Place): void {
    if (link.queue === null) return;
    link.leave();
    ofAddress.leave();
    this.#open(1);
  }

  /** @internal */
  depart({ link, ofAddress }: Place): void {
    this.#clients--;
    this.#files -= link.queue === null ? CLIENT_FILES : 1;
    link.leave();
    ofAddress.leave();
  }

  /** @internal */
  departFrom(of: Address): void {
    if (--of.clients === 0) this.#addresses.delete(of.key);
  }

  // --- internal ---

  /** Each client may need its second file at any time. */
  #makeRoom(files: number, clients: number): boolean {
    const { files: mostFiles, connections } = this.#settings;
    while (this.#clients * CLIENT_FILES + this.#givenUp + files > mostFiles || this.#clients + clients > connections) {
      const idle = this.#idle.first;
      if (idle === null) return false;
      this.#closeIdle(idle, { full: "worker" });
    }
    return true;
  }

  /** Files are open; spare ones make way. */
  #open(files: number): void {
    this.#files += files;
    for (
      let spare = this.#spares.first;
      spare !== null && this.#files > this.#settings.files;
      spare = this.#spares.first
    )
      this.#closeSpare(spare);
  }

  #closeSpare(spare: Spare): void {
    this.#settings.crowding.closed.app++;
    spare.leave();
    spare.end();
  }

  #closeIdle(place: Place, about: { full: Full; address?: string }): void {
    this.#settings.crowding.closeIdle({ ...about, ...this.#figures(about) });
    place.leave();
    place.end();
  }

  /** How many there are of what is full, and may be. */
  #figures({ full, address = "" }: { full: Full; address?: string }): { clients: number; most: number } {
    if (full !== "address") return { clients: this.#clients, most: this.most };
    return { clients: this.#addresses.get(address)?.clients ?? 0, most: this.#settings.ofAddress };
  }

  /** The oldest of them makes way. */
  #turnAway(place: Place, full: Full, about: { address?: string }): void {
    this.#settings.crowding.refuse(full, { ...about, ...this.#figures({ ...about, full }) });
    place.full = full;
    this.#turnedAway.push(place.link);
    const oldest = this.#turnedAway.first;
    if (this.#turnedAway.size <= MAX_TURNED_AWAY || oldest === null) return;
    oldest.leave();
    oldest.end();
  }

  /** Null for who is exempt. */
  #keyOf(address: string): string | null {
    if (address !== this.#asked.address) {
      const isExempt = address === "" || this.#settings.isExempt(address);
      this.#asked = { address, key: isExempt ? null : networkOf(address) };
    }
    return this.#asked.key;
  }
}

/** What one client has of the room. */
export class Place {
  /** Closes it at once; whoever has the connection sets it. Must not throw. */
  end: () => void;
  /** What had no room for it: it is to be told so, or closed. */
  full: Full | null = null;
  /** In the queue of those that are idle, or turned away. */
  readonly link: Link<Place> = new Link<Place>(this);
  /** In the queue of its address's that are idle. */
  readonly ofAddress: Link<Place> = new Link<Place>(this);
  readonly #room: Connections;
  #address: Address | null = null;
  #isOver = false;

  constructor(room: Connections, end: () => void) {
    this.#room = room;
    this.end = end;
  }

  /** Whose it is. It may be turned away now. */
  from(address: string): void {
    if (this.#isOver || this.full !== null) return;
    this.#address = this.#room.arrive(this, address);
    if (this.#address !== null && this.link.queue !== null) this.#address.idle.push(this.ofAddress);
  }

  /** It is in use. */
  busy(): void {
    if (!this.#isOver && this.full === null) this.#room.setBusy(this);
  }

  /** It is not, from now on. */
  idle(): void {
    if (!this.#isOver && this.full === null) this.#room.setIdle(this, this.#address);
  }

  /** It is gone. More than once does no harm. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.full === null) this.#room.depart(this);
    else this.link.leave();
    if (this.#address !== null) this.#room.departFrom(this.#address);
  }
}

/** A connection to an app that nobody uses now. */
export class Spare {
  readonly end: () => void;
  readonly link: Link<Spare> = new Link<Spare>(this);
  readonly #left: () => void;
  #isOver = false;

  constructor(end: () => void, left: () => void) {
    this.end = end;
    this.#left = left;
  }

  /** It is gone, or is a client's again. More than once does no harm. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.link.leave();
    this.#left();
  }
}

/** What counts as one address: an IPv4 address, in whatever form, or an IPv6 /64 (RFC 6177: a site has one at least). */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const plain = address.split("%", 1)[0] ?? "";
  if (!ipaddr.isValid(plain)) return address;
  const parsed = ipaddr.process(plain);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  const network = parsed.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(":")}::/64`;
}
