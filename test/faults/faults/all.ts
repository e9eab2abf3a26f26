/** Every single fault that the cluster has to bear. */
import type { Fault } from "../fault.ts";
import { eventFaults } from "./events.ts";
import { processFaults } from "./processes.ts";
import { redisFaults } from "./redis.ts";
import { surroundingFaults } from "./surroundings.ts";

export const ALL_FAULTS: Fault[] = [...processFaults, ...redisFaults, ...eventFaults, ...surroundingFaults];
