/**
 * One request or connection on its way over one route: counts for the pool's balance, reports how the route did,
 * and can be ended when the route goes. Made by the core, used by engines.
 */
import type { Passage } from "../engine/engine.ts";
import type { Carried, Member, RoutePool } from "./pool.ts";

export class RoutePassage implements Passage, Carried {
  readonly host: string;
  readonly port: number;
  readonly member: Member;
  readonly moved: () => void;
  goAway: (() => void) | undefined = undefined;
  readonly #pool: RoutePool;
  #tried: Set<Member> | undefined;
  #stop: () => void = () => undefined;
  #closed = false;

  /** `moved` is told of every chunk. */
  constructor(pool: RoutePool, member: Member, moved: () => void, tried?: Set<Member>) {
    this.host = member.route.kernel_host;
    this.port = member.route.kernel_port;
    this.member = member;
    this.moved = moved;
    this.#pool = pool;
    this.#tried = tried;
    member.carried.add(this);
  }

  get starting(): boolean {
    return this.#pool.mayStart(this.member);
  }

  get stop(): () => void {
    return this.#stop;
  }

  /** Its route may have gone before the engine could say how to end it. */
  set stop(stop: () => void) {
    this.#stop = stop;
    if (this.#closed) stop();
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  reached(): void {
    this.#pool.reached(this.member);
  }

  failed(): void {
    this.#pool.failed(this.member);
  }

  elsewhere(): RoutePassage | null {
    this.release();
    this.#tried ??= new Set();
    this.#tried.add(this.member);
    const member = this.#pool.pick(this.#tried);
    return member === null ? null : new RoutePassage(this.#pool, member, this.moved, this.#tried);
  }

  release(): void {
    this.member.carried.delete(this);
  }
}
