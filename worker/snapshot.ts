/**
 * The worker's circuits in a small file, so that a worker which starts while the coordinator is away can serve what it
 * served before (consistency 11). Written when something has changed, read only at such a start. The file says nothing
 * of what happened while no worker was there: it counts only for `maxAge` after its worker was last alive.
 */
import { readFileSync, statSync } from "node:fs";
import { mkdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Type, type Static } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { reason } from "../shared/failure.ts";
import type { Log } from "../shared/log.ts";
import { WorkerCircuits } from "../shared/schema/worker.ts";
import type { ReplicaState } from "./replica.ts";
import type { Table } from "./table.ts";
import "../shared/schema/formats.ts";

export interface SnapshotDeps {
  path: string;
  authority: string;
  /** Milliseconds. */
  maxAge: number;
  table: Table;
  state: () => Pick<ReplicaState, "known" | "revision" | "epoch" | "digest">;
  log: Log;
  /** Epoch milliseconds. */
  now: () => number;
}

export interface Snapshots {
  /** What was saved; null when there is nothing that can be used. */
  load(): WorkerCircuits | null;
  /** Resolves when what is being written is written. */
  stop(): Promise<void>;
}

/** How often it is looked whether there is something to save. Milliseconds. */
const LOOK_MS = 1000;
/** Saving takes at most about this share of the time: 5,000 circuits are 5 MB and 40 ms. */
const SHARE = 0.05;
/** The file's time says that its worker is alive. Milliseconds. */
const ALIVE_MS = 30_000;

const Saved = Type.Object({ version: Type.Literal(1), authority: Type.String(), circuits: WorkerCircuits });
const check = TypeCompiler.Compile(Saved);

/** Where the circuits of a worker are kept: the nodes of an authority have the same ones. */
export function snapshotPath(directory: string, authority: string): string {
  return join(directory, `app-proxy-worker-${encodeURIComponent(authority)}.json`);
}

export function createSnapshots({ path, authority, maxAge, table, state, log, now }: SnapshotDeps): Snapshots {
  let saved = "";
  let notBefore = 0;
  let touchAt = 0;
  let isFailing = false;
  let working: Promise<void> | null = null;

  /** What is saved is told by its revision: it changes with everything that is in it. */
  function name(): string {
    const { revision, epoch, digest } = state();
    return `${epoch} ${revision} ${digest}`;
  }

  async function keep(): Promise<void> {
    const { known, revision } = state();
    const begun = performance.now();
    if (known && revision !== null && name() !== saved && begun >= notBefore) {
      const mine = name();
      await write();
      saved = mine;
      touchAt = performance.now() + ALIVE_MS;
      notBefore = performance.now() + (performance.now() - begun) / SHARE;
    } else if (saved !== "" && begun >= touchAt) {
      touchAt = begun + ALIVE_MS;
      await utimes(path, now() / 1000, now() / 1000);
    }
  }

  async function write(): Promise<void> {
    const { revision, epoch, digest } = state();
    const circuits: WorkerCircuits = {
      circuits: table.all().map(({ circuit }) => circuit),
      ...(revision === null ? {} : { revision }),
      ...(epoch === null ? {} : { epoch }),
      ...(digest === null ? {} : { digest }),
    };
    const content: Static<typeof Saved> = { version: 1, authority, circuits };
    const text = JSON.stringify(content);
    // Two nodes may write at once.
    const draft = `${path}.${crypto.randomUUID().slice(0, 8)}`;
    try {
      await mkdir(dirname(path), { recursive: true });
      // Circuits may carry secrets in `envs`: nobody else reads them.
      await writeFile(draft, text, { mode: 0o600, flag: "wx" });
      // Whole or not at all.
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  }

  function work(): void {
    working ??= keep()
      .then(
        () => void (isFailing = false),
        (error: unknown) => {
          // One line an outage, and a slower pace.
          if (!isFailing)
            log.warn({ path, reason: reason(error) }, "cannot save the circuits (proxy_worker.snapshot_dir)");
          isFailing = true;
          notBefore = performance.now() + ALIVE_MS;
        },
      )
      .finally(() => (working = null));
  }

  const timer = setInterval(work, LOOK_MS);

  return {
    load() {
      const found = read(path, authority, now() - maxAge);
      if (typeof found !== "string") return found;
      log.warn({ path, reason: found }, "the saved circuits are not used");
      return null;
    },
    async stop() {
      clearInterval(timer);
      await working;
    },
  };
}

// --- internal ---

/** The saved circuits; null when there is no file; why they can't be used. */
function read(path: string, authority: string, oldest: number): WorkerCircuits | string | null {
  try {
    const aliveAt = statSync(path).mtimeMs;
    if (aliveAt < oldest) return `their worker was last alive at ${new Date(aliveAt).toISOString()}`;
    const saved: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (!check.Check(saved)) {
      const fault = check.Errors(saved).First();
      return `${fault?.path ?? ""}: ${fault?.message ?? "unreadable"}`;
    }
    return saved.authority === authority ? saved.circuits : `they are of the worker ${saved.authority}`;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT" ? null : reason(error);
  }
}
