/** What a row of the tables says: the bytes of an attack, and what has to come of them. One character is one byte. */
import type { DeviationName } from "../../contract/engines.ts";

/** What a client and the app have to see of a row's bytes. */
export interface Outcome {
  /** Of the answers that the client gets, in their order; null where it may get none, as nobody waits for it. */
  statuses: (number | "400 or 408" | null)[];
  /** Whole messages that the app gets: method, target and body. */
  upstream: string[];
  /** The second request, which stands behind the bytes, reaches the app and is answered; else the connection has ended. */
  goesOn: boolean;
}

/** What `Bun.serve` does otherwise: a deviation by its name, or what the RFC allows as well. */
export type Otherwise = Outcome &
  ({ deviation: DeviationName } | { because: string }) & {
    /** The app, which is strict, refuses what it gets. */
    isFoul?: boolean;
  };

export interface RequestRow {
  name: string;
  /** Where RFC 9110, 9112 or another one demands the outcome, or leaves it to us. */
  rfc: string;
  /** `HOST` stands for the circuit's host. */
  bytes: string;
  outcome: Outcome;
  serve?: Otherwise;
  /** A header line of the app's first message that has to be there so. */
  has?: [name: string, value: string][];
  /** What may stand nowhere in its head. */
  lacks?: string[];
  /** Names of the trailers that the app gets. */
  trailers?: string[];
  /** The bytes end within a message: FIN follows them, and no second request. */
  isHalf?: boolean;
  /** The circuit lets in only who has its permit, which `PERMIT` stands for. */
  isPrivate?: boolean;
}

/** No message: nothing of it reaches the app, the client is told and left. */
export function refused(status = 400): Outcome {
  return { statuses: [status], upstream: [], goesOn: false };
}

/** What may still become a wrong message: refused when more has come, or when nothing does. */
export function refusedInTime(): Outcome {
  return { statuses: ["400 or 408"], upstream: [], goesOn: false };
}

/** A message, but none for the app: it is answered here. */
export function answered(status: number): Outcome {
  return { statuses: [status], upstream: [], goesOn: true };
}

/** The app gets exactly these messages, and the connection goes on. */
export function passed(...upstream: string[]): Outcome {
  return { statuses: upstream.map(() => 200), upstream, goesOn: true };
}

/** The app gets exactly these, and the connection ends behind the last one. */
export function passedLast(...upstream: string[]): Outcome {
  return { ...passed(...upstream), goesOn: false };
}

/** Its head was a message, so the app may have heard of it; never as a whole one. */
export function broken(): Outcome {
  return { statuses: [400], upstream: [], goesOn: false };
}

/** Whose rest never comes. */
export function unfinished(): Outcome {
  return { statuses: [null], upstream: [], goesOn: false };
}

/** `Bun.serve` breaks a line of the contract: what comes of it instead. */
export function deviating(deviation: DeviationName, outcome: Outcome): Otherwise {
  return { ...outcome, deviation };
}

/** `Bun.serve` does another thing that is right. */
export function also(because: string, outcome: Outcome): Otherwise {
  return { ...outcome, because };
}

/** Refused by closing the connection without a word. */
export function hungUp(): Outcome {
  return { statuses: [], upstream: [], goesOn: false };
}

export const PIPELINED = "a second request that comes before the first is answered closes the connection";

/** A GET with these header lines, each with its CRLF. */
export function get(lines = "", target = "/a"): string {
  return `GET ${target} HTTP/1.1\r\nHost: HOST\r\n${lines}\r\n`;
}

/** A POST with these header lines, each with its CRLF, and what stands behind its head. */
export function post(lines: string, behind: string, target = "/a"): string {
  return `POST ${target} HTTP/1.1\r\nHost: HOST\r\n${lines}\r\n${behind}`;
}

/** What a smuggler hides behind a message, with a mark of its own: the app must never get it as a message. */
export const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: me\r\n\r\n";
