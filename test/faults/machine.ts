/** A process under test: started, killed, stopped and continued by its handle; its log is kept in a file. */
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/spawned.ts";
import type { Numbered, Order } from "./orders.ts";
import { owed } from "../support/owed.ts";

export interface Machine {
  readonly name: string;
  /** Counts starts: what ran over an earlier one is gone. */
  readonly generation: number;
  /** Starts it; it need not be ready when this returns. */
  start(): void;
  /** Sends a signal, such as SIGSTOP and SIGCONT. */
  signal(name: NodeJS.Signals): void;
  /** Kills it at once and resolves when it is gone. */
  kill(): Promise<void>;
  /** Resolves when it has ended by itself. */
  ended(): Promise<unknown>;
  /** Resolves when the process has followed the order. Rejects when it is gone or has not within two seconds. */
  tell(order: Order): Promise<void>;
  /** The newest lines of its log. */
  tail(lines: number): string;
}

/** What a stopped process can't answer is asked no longer than this, on a quiet machine. Milliseconds. */
const ORDER_TIMEOUT_MS = 2000;

export function createMachine(name: string, entry: string, args: string[], directory: string): Machine {
  const logFile = join(directory, `${name}.log`);
  let child: Bun.Subprocess | null = null;
  let generation = 0;
  let orders = 0;
  const followed = new Map<number, () => void>();
  return {
    name,
    get generation() {
      return generation;
    },
    start() {
      generation++;
      // Appended, so that a log tells of all lives.
      const log = openSync(logFile, "a");
      child = Bun.spawn([process.execPath, "--max-http-header-size=65536", join(ROOT, entry), ...args], {
        cwd: directory,
        env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" },
        stdin: "ignore",
        stdout: log,
        stderr: log,
        serialization: "json",
        ipc: (number: number) => followed.get(number)?.(),
      });
      closeSync(log);
    },
    signal: (wanted) => child?.kill(wanted),
    async kill() {
      child?.kill("SIGKILL");
      await child?.exited;
    },
    ended: async () => child?.exited,
    async tell(order) {
      const number = ++orders;
      const done = Promise.withResolvers<void>();
      const timer = setTimeout(
        () => done.reject(new Error(`${name} does not follow "${order.do}"`)),
        owed(ORDER_TIMEOUT_MS),
      );
      followed.set(number, done.resolve);
      try {
        child?.send({ number, order } satisfies Numbered);
        await done.promise;
      } finally {
        clearTimeout(timer);
        followed.delete(number);
      }
    },
    tail: (lines) =>
      existsSync(logFile) ? readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n") : "(no log)",
  };
}
