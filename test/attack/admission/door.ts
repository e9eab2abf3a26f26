/** What all credentials are made for, and what they may be worth. */

/** The circuit that is knocked at, as far as credentials speak of it. */
export interface Door {
  circuit: string;
  user: string;
  /** The name of its permit's cookie. */
  cookie: string;
  /** The name that the cookie has where circuits are reached the other way, with TLS or without. */
  otherCookie: string;
  /** Another circuit of the same person. */
  another: string;
  /** That had the slot before. */
  former: string;
}

/** None; something of the kind that is not right; what lets in. */
export type PermitWorth = "none" | "bad" | "good";

/**
 * Of the same kind are: no token; another scheme; what has not the form of a token of ours, as everybody can see; what was
 * made without the secret, whatever it says; what the coordinator made, and is over, or is without an end, or is for something else.
 */
export type TokenWorth = "none" | "scheme" | "formless" | "forged" | "expired" | "endless" | "another's" | "good";

export interface Credential {
  name: string;
  permit: PermitWorth;
  token: TokenWorth;
  /** Header lines. */
  lines: (door: Door) => [name: string, value: string][];
  /** Behind the target's `?`. */
  query?: (door: Door) => string;
}

export const STRANGER = "00000000-0000-4000-8000-000000000009";

/** Epoch seconds. */
export const now = () => Math.floor(Date.now() / 1000);
/** In a year. */
export const later = () => now() + 365 * 24 * 3600;
