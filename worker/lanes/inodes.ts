/**
 * The listening sockets of a worker's processes, as they have noted them in a file that they share: that a port is another
 * one's, and no foreign process's, is looked up with each new circuit, and the sockets of processes with ten thousand
 * connections take the system long to tell.
 */
import { closeSync, fstatSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The descriptor under which a supervisor gives its processes the file. */
export const INODES_FD = 3;

const BYTES = 4;
/** So many are remembered: those that were opened last. Of others the system is asked. */
const MOST = 100_000;

/** Makes the file, which has no name any more: it goes with the last process that has it open. Gives its descriptor. */
export function openInodes(): number {
  const path = join(tmpdir(), `app-proxy-listeners-${crypto.randomUUID()}`);
  // Each of many writers writes at the end.
  const fd = openSync(path, "ax+", 0o600);
  unlinkSync(path);
  return fd;
}

export class LaneInodes {
  readonly #fd: number;
  readonly #known = new Set<number>();
  #read = 0;

  /** `fd` is what `openInodes` has given, in whatever process. Throws when it is no file. */
  constructor(fd: number) {
    this.#fd = fd;
    // What was opened so long ago is looked up otherwise.
    this.#read = Math.max(0, whole(fstatSync(fd).size) - MOST * BYTES);
  }

  note(inode: number): void {
    const entry = Buffer.alloc(BYTES);
    entry.writeUInt32LE(inode >>> 0);
    writeSync(this.#fd, entry);
  }

  has(inode: number): boolean {
    if (!this.#known.has(inode)) this.#readOn();
    return this.#known.has(inode);
  }

  close(): void {
    closeSync(this.#fd);
  }

  // --- internal ---

  #readOn(): void {
    const size = whole(fstatSync(this.#fd).size);
    if (size <= this.#read) return;
    const fresh = Buffer.alloc(size - this.#read);
    const length = whole(readSync(this.#fd, fresh, 0, fresh.length, this.#read));
    for (let at = 0; at < length; at += BYTES) this.#known.add(fresh.readUInt32LE(at));
    this.#read += length;
    for (const oldest of this.#known) {
      if (this.#known.size <= MOST) break;
      this.#known.delete(oldest);
    }
  }
}

// --- internal ---

function whole(bytes: number): number {
  return bytes - (bytes % BYTES);
}
