/** What a test's own thread and the one that starts programs for it say to each other. */

export type Streamed = "stdout" | "stderr";

export interface Wanted {
  id: number;
  command: string[];
  cwd: string | undefined;
  env: Record<string, string | undefined>;
  /** In a process group of its own. */
  detached: boolean;
  /** Whether somebody reads what it writes. */
  reads: boolean;
  /** Two 32-bit integers: 1 once it has been tried, and the process id or -1. */
  started: SharedArrayBuffer;
}

export type Told =
  | { id: number; kind: "text"; stream: Streamed; text: string }
  | { id: number; kind: "end"; stream: Streamed }
  | { id: number; kind: "exit"; exitCode: number | null; signalCode: NodeJS.Signals | null }
  | { id: number; kind: "failed"; why: string };
