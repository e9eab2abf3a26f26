/** What the coordinator's services are given: everything that is not a decision. Made by coordinator.ts, or by a test. */
import type { Bus } from "../shared/bus/bus.ts";
import type { LiveData } from "../shared/live/live.ts";
import type { Log } from "../shared/runtime/log.ts";
import type { CoordinatorConfig } from "./config.ts";
import type { OpenDb } from "./db/open.ts";
import type { Listening } from "./listening.ts";
import type { PlatformChannel } from "./platform/channel.ts";

export interface Deps {
  config: CoordinatorConfig;
  database: OpenDb;
  bus: Bus;
  live: LiveData;
  /** What the platform says; left out where there is no platform beside. */
  platform?: PlatformChannel;
  log: Log;
  /** Epoch milliseconds. */
  now: () => number;
  /** Since when anybody could be heard of; left out, it is reckoned from `now` and a clock that nobody sets. */
  listening?: Listening;
  /** A new random UUID. */
  newId: () => string;
}

/** Milliseconds as the ISO 8601 text of the API. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
