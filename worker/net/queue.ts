/** A queue whose members can leave from anywhere, each step at the same cost however many there are. */

/** A member's place in one queue. */
export class Link<T> {
  readonly member: T;
  before: Link<T> | null = null;
  behind: Link<T> | null = null;
  queue: Queue<T> | null = null;

  constructor(member: T) {
    this.member = member;
  }

  /** From whatever queue it is in. */
  leave(): void {
    this.queue?.remove(this);
  }
}

export class Queue<T> {
  #first: Link<T> | null = null;
  #last: Link<T> | null = null;
  #size = 0;

  /** Who has been in it for longest. */
  get first(): T | null {
    return this.#first === null ? null : this.#first.member;
  }

  get size(): number {
    return this.#size;
  }

  /** To its end, also when it was somewhere else. */
  push(link: Link<T>): void {
    link.leave();
    link.queue = this;
    link.before = this.#last;
    if (this.#last === null) this.#first = link;
    else this.#last.behind = link;
    this.#last = link;
    this.#size++;
  }

  remove(link: Link<T>): void {
    if (link.queue !== this) return;
    if (link.before === null) this.#first = link.behind;
    else link.before.behind = link.behind;
    if (link.behind === null) this.#last = link.before;
    else link.behind.before = link.before;
    link.before = link.behind = link.queue = null;
    this.#size--;
  }
}
