/**
 * The file behind a connection: SQLite goes on with one that was removed or replaced under its path, and all that is written
 * then is lost with the process. Pure but for a look at the path.
 */
import { statSync } from "node:fs";
import { Failure } from "../../shared/failure.ts";

/** Nothing can be kept any more. */
export class MissingFile extends Failure {
  constructor(path: string) {
    super(
      "service-unavailable",
      `The database ${path} was removed or replaced while this coordinator runs; restart it`,
    );
  }
}

export class DatabaseFile {
  readonly #path: string;
  readonly #opened: string | null;

  /** Right after it was opened. */
  constructor(path: string) {
    this.#path = path;
    this.#opened = identityOf(path);
  }

  /** Throws MissingFile when another file, or none, is at the path. Takes two microseconds. */
  assertInPlace(): void {
    if (this.#opened !== null && identityOf(this.#path) !== this.#opened) throw new MissingFile(this.#path);
  }
}

// --- internal ---

/** Null for none, such as a database in memory. */
function identityOf(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev} ${found.ino}`;
}
