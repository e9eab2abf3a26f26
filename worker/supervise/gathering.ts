/** What the processes of a worker ask of each other through their supervisor: the figures of all. Called by supervise.ts. */
import { within } from "../../shared/runtime/deadline.ts";
import type { Figures, ToProcess } from "../lanes/messages.ts";

/** A process that says nothing for so long is left out. Milliseconds. */
const PATIENCE_MS = 2000;

export interface Gathering {
  /** Asks each of these processes; gives what those have said that did so in time. */
  gather(pids: readonly number[]): Promise<Figures[]>;
  /** A process has answered. */
  reported(id: number, figures: Figures): void;
}

/** `tell` says something to a process, if that is there. */
export function createGathering(tell: (pid: number, message: ToProcess) => void): Gathering {
  const asked = new Map<number, (figures: Figures) => void>();
  let questions = 0;

  async function ask(pid: number): Promise<Figures | undefined> {
    const id = ++questions;
    const { promise, resolve } = Promise.withResolvers<Figures>();
    asked.set(id, resolve);
    tell(pid, { lane: "report", id });
    const figures = await within(PATIENCE_MS, promise);
    asked.delete(id);
    return figures;
  }

  return {
    gather: async (pids) => (await Promise.all(pids.map(ask))).filter((figures) => figures !== undefined),
    reported: (id, figures) => asked.get(id)?.(figures),
  };
}
