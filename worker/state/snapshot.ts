/**
 * The worker's circuits in a small file, so that a worker which starts while the coordinator is away can serve what it
 * served before (consistency 11). Written when something has changed, read only at such a start. The file says nothing
 * of what happened while no worker was there: it counts only for `maxAge` after its worker was last alive.
 */
import { readFileSync, statSync, type Stats } from "node:fs";
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Type, type Static } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { reason } from "../../shared/failure.ts";
import type { Log } from "../../shared/runtime/log.ts";
import type { Circuit } from "../../shared/protocol/schema/circuit.ts";
import { WorkerCircuits } from "../../shared/protocol/schema/worker.ts";
import type { ReplicaState } from "./replica/replica.ts";
import type { Table } from "../circuits/table.ts";
import "../../shared/protocol/schema/formats.ts";

export interface SnapshotDeps {
  path: string;
  authority: string;
  /** Milliseconds. */
  maxAge: number;
  /** True: another process of the worker writes the file. */
  isReader?: boolean;
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

/** How often it is asked whether there is something to save. Milliseconds. */
const POLL_MS = 1000;
/** What is written, at most on the average: a fetch brings what the file lacks. 5,000 circuits are 4 MB. */
const BYTES_PER_SECOND = 1_000_000;
/** Circuits are written as text in slices of so many milliseconds: meanwhile nobody's traffic moves. */
const SLICE_MS = 4;
/** Drafts that a killed process left. */
const OLD_DRAFT_MS = 60_000;
/** The file's time says that its worker is alive. Milliseconds. */
const ALIVE_MS = 30_000;

const Saved = Type.Object({ version: Type.Literal(1), authority: Type.String(), circuits: WorkerCircuits });
const check = TypeCompiler.Compile(Saved);

/** Where the circuits of a worker are kept: the nodes of an authority have the same ones. */
export function snapshotPath(directory: string, authority: string): string {
  return join(directory, `app-proxy-worker-${encodeURIComponent(authority)}.json`);
}

export function createSnapshots(deps: SnapshotDeps): Snapshots {
  const { path, authority, maxAge, isReader = false, table, state, log, now } = deps;
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
      const bytes = await write();
      saved = mine;
      touchAt = performance.now() + ALIVE_MS;
      notBefore = performance.now() + (bytes / BYTES_PER_SECOND) * 1000;
    } else if (saved !== "" && begun >= touchAt) {
      touchAt = begun + ALIVE_MS;
      await utimes(path, now() / 1000, now() / 1000);
    }
  }

  /** Gives how many bytes it has written. */
  async function write(): Promise<number> {
    const text = await toText(state(), table.all().map(({ circuit }) => circuit), authority); // prettier-ignore
    // Two nodes may write at once.
    const draft = `${path}.${crypto.randomUUID().slice(0, 8)}`;
    try {
      await mkdir(dirname(path), { recursive: true });
      // Circuits may carry secrets in `envs`: nobody else reads them.
      await writeFile(draft, text, { mode: 0o600, flag: "wx" });
      // Whole or not at all.
      await rename(draft, path);
      return text.length;
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

  const timer = isReader ? undefined : setInterval(work, POLL_MS);
  const tidying = removeDrafts(path, now()).catch((error: unknown) => {
    log.debug({ path, reason: reason(error) }, "cannot look for old drafts of the saved circuits");
  });

  return {
    load() {
      const found = read(path, authority, now() - maxAge);
      if (typeof found !== "string") return found;
      log.warn({ path, reason: found }, "the saved circuits are not used");
      return null;
    },
    async stop() {
      clearInterval(timer);
      await Promise.all([working, tidying]);
    },
  };
}

// --- internal ---

type SavedState = ReturnType<SnapshotDeps["state"]>;

/** The file's text. The circuits and where they stand were read at one moment; an entry is never changed in place. */
async function toText({ revision, epoch, digest }: SavedState, circuits: readonly Circuit[], authority: string) {
  const parts: string[] = [];
  let begun = performance.now();
  for (const circuit of circuits) {
    parts.push(JSON.stringify(circuit));
    if (performance.now() - begun < SLICE_MS) continue;
    await setImmediate();
    begun = performance.now();
  }
  const position = {
    ...(revision === null ? {} : { revision }),
    ...(epoch === null ? {} : { epoch }),
    ...(digest === null ? {} : { digest }),
  };
  const rest = JSON.stringify({ version: 1, authority, circuits: { ...position, circuits: [] } } satisfies Static<typeof Saved>); // prettier-ignore
  return rest.replace(/\[\]\}\}$/, () => `[${parts.join(",")}]}}`);
}

async function removeDrafts(path: string, now: number): Promise<void> {
  const [folder, name] = [dirname(path), basename(path)];
  for (const entry of await readdir(folder)) {
    const draft = join(folder, entry);
    if (entry.startsWith(`${name}.`) && (await stat(draft)).mtimeMs < now - OLD_DRAFT_MS)
      await rm(draft, { force: true });
  }
}

/** Whether only this user can have written it: what it says is served. */
function isOwn({ uid, mode }: Stats): boolean {
  return uid === (process.getuid?.() ?? uid) && (mode & 0o022) === 0;
}

/** The saved circuits; null when there is no file; why they can't be used. */
function read(path: string, authority: string, oldest: number): WorkerCircuits | string | null {
  try {
    const file = statSync(path);
    const aliveAt = file.mtimeMs;
    if (!isOwn(file)) return "others may have written the file";
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
