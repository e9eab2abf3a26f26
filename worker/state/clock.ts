/**
 * The time by the coordinator's clock, as far as its `Date` headers tell: setup tokens, bearer tokens and circuits carry its
 * times, and the platform compares users' activity with them. Nodes whose clocks differ agree through it too. worker.ts
 * hands it to everything that compares such times; what compares times of this machine's files does not take it.
 */
import type { DatedAnswer } from "../../shared/client/client.ts";
import type { Log } from "../../shared/runtime/log.ts";

export type ClockState = "unknown" | "right" | "corrected" | "wrong";

export interface Clock {
  /** Epoch milliseconds: the coordinator's, or this machine's own where the two are not known to differ. */
  now: () => number;
  heard: (answer: DatedAnswer) => void;
  /** How far this machine's clock is ahead of the coordinator's (behind: less than 0), in seconds. Null while nothing is known. */
  skew(): number | null;
  /** `wrong`: too far off to be corrected. */
  state(): ClockState;
}

interface ClockDeps {
  /** This machine's clock; epoch milliseconds. */
  own: () => number;
  /** Milliseconds of a clock that nobody sets. */
  steady: () => number;
  log: Log;
}

/**
 * `Date` is in whole seconds (RFC 9110 §5.6.7), and servers reckon it once a second at best: Bun's was up to 1.07 s old,
 * aiohttp's up to 1.0 s.
 */
const OLDEST_DATE_MS = 2000;
/** Both clocks are disciplined, but not equally: the bounds widen by so much a millisecond. */
const DRIFT = 0.0005;
/** What is further off is no drift but a fault: somebody has to set it. */
const MOST_MS = 3600 * 1000;
/** A difference is told when it passes the first and cured when it falls below the second. */
const TOLD_MS = 5000;
const CURED_MS = 3000;
/** So long a difference counts as it was found. Milliseconds. */
const FRESH_MS = 20;
/** Coordinators behind one address may differ: not a line with each answer. */
const QUIET_MS = 60_000;

export function createClock({ own, steady, log }: ClockDeps): Clock {
  /** The coordinator's time lies between these, less the steady clock's time. */
  let bounds: { low: number; high: number; at: number } | null = null;
  /** What `now` has found last, and when by this machine's clock: it is asked several times with each request. */
  let found = { difference: 0, at: NaN };
  let told: ClockState = "unknown";
  let quietUntil = -Infinity;

  function widened(at: number): { low: number; high: number } | null {
    if (bounds === null) return null;
    const drift = Math.max(0, at - bounds.at) * DRIFT;
    return { low: bounds.low - drift, high: bounds.high + drift };
  }

  /** How far this machine's clock is ahead; 0 where the bounds leave room for that. */
  function ahead(): number | null {
    if (bounds === null) return null;
    const at = steady();
    const mine = own() - at;
    const drift = Math.max(0, at - bounds.at) * DRIFT;
    const isWithin = mine >= bounds.low - drift && mine <= bounds.high + drift;
    return isWithin ? 0 : mine - (bounds.low + bounds.high) / 2;
  }

  function stateOf(difference: number | null): ClockState {
    if (difference === null) return "unknown";
    if (Math.abs(difference) > MOST_MS) return "wrong";
    return difference === 0 ? "right" : "corrected";
  }

  /** One line when the difference is worth one, and one when it is no more. */
  function tell(): void {
    const difference = ahead() ?? 0;
    const off = Math.abs(difference);
    const limit = told === "unknown" || told === "right" ? TOLD_MS : CURED_MS;
    const found = off < limit ? "right" : off > MOST_MS ? "wrong" : "corrected";
    if (found === told || steady() < quietUntil) return;
    const isFirst = told === "unknown";
    told = found;
    if (isFirst && found === "right") return;
    quietUntil = steady() + QUIET_MS;
    const about = { skew_seconds: seconds(difference) };
    if (found === "right") log.info(about, "this machine's clock agrees with the coordinator's again");
    else if (found === "corrected")
      log.warn(about, "this machine's clock differs from the coordinator's; corrected for");
    else
      log.error(
        about,
        "this machine's clock differs by more than an hour from the coordinator's: not corrected for, and people can't be let in. Set it",
      );
  }

  return {
    now() {
      const mine = own();
      // A clock that somebody sets jumps further than that, or back.
      if (!(mine >= found.at && mine < found.at + FRESH_MS)) {
        const difference = ahead() ?? 0;
        found = { difference: Math.abs(difference) > MOST_MS ? 0 : difference, at: mine };
      }
      return mine - found.difference;
    },
    heard({ date, sent, received }) {
      const fresh = { low: date - received, high: date + OLDEST_DATE_MS - sent };
      const known = widened(received);
      const both =
        known === null ? fresh : { low: Math.max(known.low, fresh.low), high: Math.min(known.high, fresh.high) };
      // They exclude each other: the coordinator's clock was set, or it is another coordinator. The newest word counts.
      found.at = NaN;
      bounds = { ...(both.low > both.high ? fresh : both), at: received };
      tell();
    },
    skew() {
      const difference = ahead();
      return difference === null ? null : seconds(difference);
    },
    state: () => stateOf(ahead()),
  };
}

// --- internal ---

/** To a tenth: it is known no better. */
function seconds(ms: number): number {
  return Math.round(ms / 100) / 10 || 0;
}
