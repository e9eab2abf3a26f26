/** The lines of the contract, the shapes in which each is tested, and what a stage can be told. */

export interface Shape {
  engine: "serve" | "sockets";
  frontend: "port" | "wildcard";
  /** Inside the test's process, or as a process of its own. */
  place: "in process" | "spawned";
}

const ENGINES = ["serve", "sockets"] as const;
const PLACES = ["in process", "spawned"] as const;
const FRONTENDS = ["port", "wildcard"] as const;

export const SHAPES: Shape[] = ENGINES.flatMap((engine) =>
  PLACES.flatMap((place) => FRONTENDS.map((frontend) => ({ engine, frontend, place }))),
);

export function shapeName({ engine, frontend, place }: Shape): string {
  return `${frontend} frontend, ${engine} engine, ${place}`;
}

type Section = Record<string, unknown>;

export interface StageOptions {
  /** More of `[proxy_worker]`. */
  worker?: Section;
  /** Other sections of the file, such as `{ routes: { … } }`. */
  sections?: Record<string, Section>;
  /** In process too: a real Redis instead of messengers inside the process. A spawned worker always has one. */
  redis?: boolean;
  /** How many ports its range has. */
  ports?: number;
  /** How many files a spawned worker may have open; without it as many as this process. */
  files?: number;
  /** The worker's clock in epoch milliseconds; in process only. */
  now?: () => number;
}

/** Suffix of wildcard circuits' names. */
export const DOMAIN = ".apps.test";

/** How the other side of a connection ended: FIN, or RST and whatever else broke it. */
export type End = "end" | "reset";

export const LINES = [
  "H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10", "H11", "H12", "H13", "H14", "H15",
  "W1", "W2", "W3", "W4", "W5", "W6", "W7", "T1", "T2", "T3", "R1", "R2", "R3", "F1", "F2", "F3", "F4", "A1", "A2",
] as const; // prettier-ignore
export type Line = (typeof LINES)[number];
