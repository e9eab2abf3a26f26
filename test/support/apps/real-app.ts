/** What a real app has to say of itself to be tried: how it is started and how a person uses it. */
import type { Page } from "playwright-core";
import type { AppName } from "./pins.ts";
import { listens, startProgram, type Program, type ProgramOptions } from "./program.ts";

export interface Running extends Program {
  port: number;
}

/** How long a heavy app may take to start on a busy machine. Milliseconds. */
const START_MS = 240_000;

export interface RealApp {
  name: AppName;
  /** What it says by itself at some times and not at others, directly too: how busy the machine is decides. */
  sometimes?: RegExp;
  /** Its page never dials again when its WebSocket was closed: the person loads it again. */
  staysLost?: true;
  /** What the person opens. */
  path(home: string): string;
  /** Starts what lies installed in `directory`; everything that it writes goes into `home`, an empty folder. */
  start(directory: string, home: string): Promise<Running>;
  /**
   * Waits for the app in the page and does with it what it is for, each round with another value. Works on a page that was
   * opened, loaded again, or left as it was while the worker went away and came back.
   */
  use(page: Page, round: number, home: string): Promise<void>;
}

/** Starts a program that is to listen on `port`; one that does not is stopped. */
export async function serve(port: number, command: string[], options: ProgramOptions): Promise<Running> {
  const program = startProgram(command, options);
  try {
    await listens(program, port, START_MS);
    return { ...program, port };
  } catch (error) {
    await program.stop();
    throw error;
  }
}
