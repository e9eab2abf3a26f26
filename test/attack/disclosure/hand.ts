/** What a request is made with: marks for its places, real secrets that are not for there, the random choices. */
import type { Random } from "../../faults/random.ts";
import type { Door, World } from "./world.ts";

/** Makes marks for the request that is being made, and picks real secrets. */
export class Hand {
  readonly random: Random;
  readonly world: World;
  readonly door: Door;
  readonly #shape: string;

  constructor(random: Random, world: World, door: Door, shape: string) {
    this.random = random;
    this.world = world;
    this.door = door;
    this.#shape = shape;
  }

  /** A secret of the platform's, or what stands in its place: no app may get it. */
  ours(place: string): string {
    return this.world.secrets.mark(`${place} (${this.#shape}, ${this.door.name})`, this.#how());
  }

  /** A user's own. */
  own(place: string): string {
    const how = { ...this.#how(), isUsers: true };
    return this.world.secrets.mark(`${place} (${this.#shape}, ${this.door.name})`, how);
  }

  /** A real one that does not let in here: only where no app gets it. */
  real(): string {
    const { tokens, setupTokens, tickets, permits, apiTokens, services } = this.world;
    const bearers = this.door.name.includes("model service") ? [] : [this.world.bearers];
    return this.random.pick([
      ...[tokens, setupTokens, tickets, permits, apiTokens, ...bearers].map((list) => this.random.pick(list)),
      services.secret(this.random.pick(services.secretKeys)),
    ]);
  }

  /** A token of `/v2/conf` that is good; to an app goes a user's own. */
  token(value: (place: string) => string): string {
    return this.door.kind === "app" ? value("token") : this.random.pick(this.world.tokens);
  }

  jwt(mark: string): string {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part({ alg: "HS256", typ: "JWT" })}.${part({ id: this.random.uuid(), circuit: this.random.pick(this.world.circuits), key: mark })}.${mark}${mark}`; // prettier-ignore
  }

  #how() {
    return { letters: this.random.chance(0.2) };
  }
}
