/** What the coordinator's services are given: everything that is not a decision. Made by coordinator.ts, or by a test. */
import type { Bus } from "../shared/bus/bus.ts";
import type { LiveData } from "../shared/live/live.ts";
import type { Log } from "../shared/runtime/log.ts";
import type { CoordinatorConfig } from "./config.ts";
import type { Store } from "./store/store.ts";
import type { Observation } from "./observation.ts";

/** The platform's broadcast channel. What is said during an outage is lost. */
export interface PlatformChannel {
  /** Starts listening, now and after every outage. */
  listen(hear: (text: string) => void): void;
  /** True while messages are heard. */
  healthy(): boolean;
  close(): void;
}

export interface Deps {
  config: CoordinatorConfig;
  database: Store;
  bus: Bus;
  live: LiveData;
  /** What the platform says; left out where there is no platform beside. */
  platform?: PlatformChannel;
  log: Log;
  /** Epoch milliseconds. */
  now: () => number;
  /** Since when anybody could be heard of; left out, it is reckoned from `now` and a clock that nobody sets. */
  observation?: Observation;
  /** A new random UUID. */
  newId: () => string;
}
