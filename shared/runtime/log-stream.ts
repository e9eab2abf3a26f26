/**
 * Writing to a stream that others have given us, without ever waiting for its reader. The stream's open file is shared with whoever
 * has it too (a shell, a supervisor, a successor), so it is never made non-blocking itself: a pipe or terminal is opened once
 * more, a socket is asked for each message, and where neither can be had, the system is asked before each write.
 */
import { dlopen, ptr, read } from "bun:ffi";
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";

export interface LogStream {
  /**
   * Writes as much as is taken at once, and gives how many bytes that are: 0 when there is no room now, -1 when nobody can
   * ever read them. Never waits, never throws.
   */
  write(bytes: Uint8Array): number;
}

/** The stream of a file descriptor. What is no pipe, terminal or socket, such as a file, is written as it is: it takes all. */
export function openLogStream(fd: number): LogStream {
  const kind = kindOf(fd);
  if (process.platform !== "linux" || kind === "file") return { write: (bytes) => writeTo(fd, bytes) };
  if (kind === "socket") return viaSend(fd) ?? viaPoll(fd);
  const own = openedAgain(fd);
  return own === null ? viaPoll(fd) : { write: (bytes) => writeTo(own, bytes) };
}

/** Asks before each write, of what an empty pipe's page takes: for a pipe that can't be opened again. Exported for tests. */
export function viaPoll(fd: number): LogStream {
  const c = libc();
  if (c === null) return { write: (bytes) => writeTo(fd, bytes) };
  // struct pollfd: the descriptor, what is asked for, what is.
  const asked = new Int16Array(4);
  new Int32Array(asked.buffer)[0] = fd;
  asked[2] = POLLOUT;
  return {
    write(bytes) {
      if (c.poll(ptr(asked), 1, 0) <= 0) return 0;
      // Another process may fill the pipe in between; there is no way to know.
      return writeTo(fd, bytes.subarray(0, PIPE_BUF));
    },
  };
}

// --- internal ---

/** pipe(7): so many bytes are written whole, and wait for no more room than one page. */
const PIPE_BUF = 4096;
const POLLOUT = 4;
const [MSG_DONTWAIT, MSG_NOSIGNAL] = [0x40, 0x4000];
/** EBADF, EPIPE, ENOTSOCK, ECONNRESET, ENOTCONN. */
const GONE = [9, 32, 88, 104, 107];

function kindOf(fd: number): "pipe" | "socket" | "file" {
  try {
    const stat = fstatSync(fd);
    if (stat.isSocket()) return "socket";
    return stat.isFIFO() || stat.isCharacterDevice() ? "pipe" : "file";
  } catch {
    return "file"; // closed: each write says so
  }
}

/** The same pipe or terminal with flags of our own; null where that is not allowed, or nobody reads it now. */
function openedAgain(fd: number): number | null {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  let own: number | null = null;
  try {
    own = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    const [mine, given] = [fstatSync(own), fstatSync(fd)];
    if (mine.dev === given.dev && mine.ino === given.ino) return own;
  } catch {
    return null;
  }
  closeSync(own);
  return null;
}

function writeTo(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    // A full disk may have room again.
    return ["EAGAIN", "EINTR", "ENOSPC", "EDQUOT"].includes(code) ? 0 : -1;
  }
}

function viaSend(fd: number): LogStream | null {
  const c = libc();
  if (c === null) return null;
  return {
    write(bytes) {
      const sent = Number(c.send(fd, ptr(bytes), bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL));
      if (sent >= 0) return sent;
      const at = c.__errno_location();
      return at !== null && GONE.includes(read.i32(at, 0)) ? -1 : 0;
    },
  };
}

let loaded: ReturnType<typeof load> | undefined;

function libc() {
  if (loaded === undefined) loaded = load();
  return loaded;
}

/** glibc's, or musl's under its usual name; null where there is neither. */
function load() {
  for (const name of ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`]) {
    try {
      return dlopen(name, {
        poll: { args: ["ptr", "u64", "int"], returns: "int" },
        send: { args: ["int", "ptr", "usize", "int"], returns: "i64" },
        __errno_location: { args: [], returns: "ptr" },
      }).symbols;
    } catch {
      // another C library
    }
  }
  return null;
}
