/**
 * Where the worker connects to on behalf of others: an address is judged each time before it is dialled, and the one that
 * was judged is the one that is dialled (security 7). Names are resolved once a connection: what a name leads to may
 * change between the platform's check and ours.
 */
import { isIP } from "node:net";
import { reason } from "../../shared/failure.ts";
import type { AddressMatcher } from "../../shared/http/addresses.ts";
import { addressFault } from "../../shared/http/kernel.ts";
import type { Listeners } from "../../shared/runtime/listeners.ts";
import type { Resolve } from "../../shared/runtime/resolve.ts";
import { UpstreamFault } from "./upstream-fault.ts";

/** An app's host and port, and what to dial for them. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** At least one address, best first. Throws or rejects with an UpstreamFault when there is none that may be dialled. */
  addresses(): readonly string[] | Promise<readonly string[]>;
}

/** Gives the target of an app. */
export type Targets = (host: string, port: number) => Target;

interface TargetRules {
  /** `kernel_host_cidrs`. */
  isKernels: AddressMatcher;
  /** The services that the product is made of. */
  services: Listeners;
  /** Whether this worker listens for users at a port now, and where. */
  frontend: { has(port: number): boolean; leadsTo(address: string): Promise<boolean> };
  resolve: Resolve;
}

export function createTargets(rules: TargetRules): Targets {
  return (host, port) => (isIP(host) === 0 ? new NamedTarget(host, port, rules) : new FixedTarget(host, port, rules));
}

/** An address that needs no judgement: one that was judged before, or in tests. */
export function judged(address: string, port: number): Target {
  const addresses = [address];
  return { host: address, port, addresses: () => addresses };
}

// --- internal ---

/** An address: what is wrong with it, itself, is known from the start. */
class FixedTarget implements Target {
  readonly host: string;
  readonly port: number;
  readonly #rules: TargetRules;
  readonly #fault: string | null;
  readonly #addresses: readonly string[];

  constructor(host: string, port: number, rules: TargetRules) {
    this.host = host;
    this.port = port;
    this.#rules = rules;
    this.#addresses = [host];
    this.#fault = addressFault(host, rules.isKernels);
  }

  addresses(): readonly string[] | Promise<readonly string[]> {
    if (this.#fault !== null) throw refused(`${this.host}: ${this.#fault}`);
    // What listens here changes.
    return mayBeOurs(this.port, this.#rules) ? this.#unlessOurs() : this.#addresses;
  }

  async #unlessOurs(): Promise<readonly string[]> {
    if (await isOurs(this.host, this.port, this.#rules)) throw refused(OURS);
    return this.#addresses;
  }
}

/** A name: asked anew for each connection. */
class NamedTarget implements Target {
  readonly host: string;
  readonly port: number;
  readonly #rules: TargetRules;

  constructor(host: string, port: number, rules: TargetRules) {
    this.host = host;
    this.port = port;
    this.#rules = rules;
  }

  async addresses(): Promise<readonly string[]> {
    const found = await this.#resolve();
    const allowed: string[] = [];
    let why = "the name has no address";
    for (const address of found) {
      const fault = await this.#faultOf(address);
      if (fault === null) allowed.push(address);
      else why = fault;
    }
    if (allowed.length > 0) return allowed;
    throw found.length === 0 ? new UpstreamFault("unreachable", why) : refused(why);
  }

  async #resolve(): Promise<readonly string[]> {
    try {
      return await this.#rules.resolve(this.host);
    } catch (error) {
      throw new UpstreamFault("unreachable", reason(error), error);
    }
  }

  async #faultOf(address: string): Promise<string | null> {
    const fault = addressFault(address, this.#rules.isKernels);
    if (fault !== null) return `${address}: ${fault}`;
    return mayBeOurs(this.port, this.#rules) && (await isOurs(address, this.port, this.#rules)) ? OURS : null;
  }
}

const OURS = "a listener of the platform's own is there";

function mayBeOurs(port: number, { services, frontend }: TargetRules): boolean {
  return services.mayBeAt(port) || frontend.has(port);
}

async function isOurs(address: string, port: number, { services, frontend }: TargetRules): Promise<boolean> {
  return (frontend.has(port) && (await frontend.leadsTo(address))) || (await services.isAt(address, port));
}

function refused(why: string): UpstreamFault {
  return new UpstreamFault("refused", why);
}
